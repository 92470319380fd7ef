use rand::RngExt;
use rand::rngs::StdRng;

use crate::configuration::Value;
use crate::space::Domain;

/// A parameter as a coordinate: a real interval, or one of some places.
///
/// Logarithmic parameters lie on the logarithm. An integer owns the interval from half below to half above it.
#[derive(Clone, Debug)]
pub(crate) enum Axis {
    Interval { low: f64, high: f64, log: bool, bounds: Bounds },
    Choices(Vec<String>),
}

/// The smallest and the largest value of an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bounds {
    Real(f64, f64),
    Integer(i64, i64),
}

/// A value on its axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Point {
    At(f64),
    Choice(usize),
}

impl Axis {
    pub(crate) fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Float { low, high, log } => Self::interval(*low, *high, *log, Bounds::Real(*low, *high)),
            Domain::Int { low, high, log } => {
                Self::interval(*low as f64 - 0.5, *high as f64 + 0.5, *log, Bounds::Integer(*low, *high))
            }
            Domain::Categorical { choices } => Self::Choices(choices.clone()),
        }
    }

    fn interval(low: f64, high: f64, log: bool, bounds: Bounds) -> Self {
        let place = |value: f64| if log { value.ln() } else { value };
        Self::Interval { low: place(low), high: place(high), log, bounds }
    }

    /// A point anywhere on the axis with equal chance.
    pub(crate) fn anywhere(&self, rng: &mut StdRng) -> Point {
        match self {
            Self::Interval { low, high, .. } => Point::At(low + (high - low) * rng.random::<f64>()),
            Self::Choices(choices) => Point::Choice(rng.random_range(0..choices.len())),
        }
    }

    /// The value at a point; rounding never leaves the domain.
    pub(crate) fn value(&self, point: Point) -> Value {
        match (self, point) {
            (Self::Interval { log, bounds, .. }, Point::At(at)) => {
                let real = if *log { at.exp() } else { at };
                match bounds {
                    Bounds::Real(least, most) => Value::Float(real.clamp(*least, *most)),
                    Bounds::Integer(least, most) => Value::Int((real.round() as i64).clamp(*least, *most)),
                }
            }
            (Self::Choices(choices), Point::Choice(index)) => Value::Choice(choices[index].clone()),
            (axis, point) => unreachable!("{point:?} does not lie on {axis:?}"),
        }
    }

    /// The point of a value; `None` for one of another kind.
    pub(crate) fn point(&self, value: &Value) -> Option<Point> {
        let place = |value: f64, log: bool| if log { value.ln() } else { value };
        match (self, value) {
            (Self::Interval { log, bounds: Bounds::Real(..), .. }, Value::Float(value)) => {
                Some(Point::At(place(*value, *log)))
            }
            (Self::Interval { log, bounds: Bounds::Integer(..), .. }, Value::Int(value)) => {
                Some(Point::At(place(*value as f64, *log)))
            }
            (Self::Choices(choices), Value::Choice(value)) => {
                choices.iter().position(|choice| choice == value).map(Point::Choice)
            }
            _ => None,
        }
    }

    /// The interval that the integer at a point owns; `None` where values are real.
    pub(crate) fn cell(&self, at: f64) -> Option<(f64, f64)> {
        let Self::Interval { log, bounds: Bounds::Integer(..), .. } = self else { return None };
        let value = if *log { at.exp() } else { at }.round();
        let place = |value: f64| if *log { value.ln() } else { value };
        Some((place(value - 0.5), place(value + 0.5)))
    }
}
