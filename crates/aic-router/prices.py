#!/usr/bin/env python3
"""Makes prices.json from models.dev, checked against LiteLLM's map.

    git clone https://github.com/anomalyco/models.dev
    python3 prices.py models.dev model_prices_and_context_window.json > prices.json

Takes every model of the providers below that reads and writes text, deprecated ones too: somebody may still
call them. A price that the two maps put more than a factor of two apart is left out, and named on standard
error: one of them is wrong, and an unknown price is better than a wrong one. Of LiteLLM's map nothing is kept.
Python 3.11 or later, nothing to install.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

# Our name for a provider: models.dev's, LiteLLM's, and the models a provider has when its user names none:
# one for each rank, so that a list of candidates stays short.
PROVIDERS = {
    "anthropic": ("anthropic", "anthropic", ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5"]),
    "deepseek": ("deepseek", "deepseek", ["deepseek-v4-pro", "deepseek-v4-flash"]),
    "gemini": (
        "google",
        "gemini",
        ["gemini-2.5-pro", "gemini-3.5-flash", "gemini-2.5-flash-lite", "gemini-embedding-001"],
    ),
    "groq": ("groq", "groq", ["openai/gpt-oss-120b", "openai/gpt-oss-20b", "llama-3.1-8b-instant"]),
    "mistral": (
        "mistral",
        "mistral",
        ["mistral-large-2512", "mistral-medium-2604", "mistral-small-2603", "mistral-embed"],
    ),
    "openai": (
        "openai",
        "openai",
        ["gpt-5.5", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-4o-mini", "text-embedding-3-small"],
    ),
    "xai": ("xai", "xai", ["grok-4.3", "grok-build-0.1"]),
}

# What models.dev does not say. Anthropic refuses a conversation that ends with the assistant's words from
# Claude 4.6 on (docs.claude.com, "Prefill Claude's response"); OpenAI takes one and does not go on from it.
NO_PREFILL = ("claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-4-6", "claude-sonnet-5",
              "claude-fable-5")

RATES = {"input": "input", "cached_input": "cache_read", "cache_write_input": "cache_write", "output": "output"}


def make(checkout, litellm):
    root = pathlib.Path(checkout)
    others = json.loads(pathlib.Path(litellm).read_text(encoding="utf-8"))
    git = lambda *args: subprocess.check_output(["git", "-C", root, *args], text=True).strip()
    table = {
        "as_of": git("log", "-1", "--format=%cs"),
        "source": f"models.dev (github.com/anomalyco/models.dev), commit {git('rev-parse', 'HEAD')}; "
                  "prices that LiteLLM's map puts more than a factor of two apart are left out",
        "providers": {ours: rows(root, ours, theirs, few) for ours, (theirs, _, few) in PROVIDERS.items()},
    }
    leave_out_disputed(table["providers"], others)
    print(one_row_a_line(table))


def rows(root, ours, theirs, offered):
    folder = root / "providers" / theirs / "models"
    models = {path.relative_to(folder).with_suffix("").as_posix(): read(root, path)
              for path in sorted(folder.rglob("*.toml"))}
    missing = [name for name in offered if name not in models]
    assert not missing, f"{ours} has no {missing} any more; name their successors in PROVIDERS"
    chosen = offered + [name for name in models if name not in offered]
    return [row(ours, name, models[name], name in offered) for name in chosen if is_text(models[name])]


def read(root, path):
    model = tomllib.loads(path.read_text(encoding="utf-8"))
    base = model.get("base_model")
    if base is None:
        return model
    whole = tomllib.loads((root / "models" / f"{base}.toml").read_text(encoding="utf-8"))
    for name in model.get("base_model_omit", []):
        whole.pop(name, None)
    for name, value in model.items():
        whole[name] = whole.get(name, {}) | value if isinstance(value, dict) else value
    return whole


def is_text(model):
    modalities = model["modalities"]
    return "cost" in model and "text" in modalities["input"] and modalities["output"] == ["text"]


def row(provider, name, model, offered):
    cost, limit = model["cost"], model["limit"]
    embeds = "embed" in name
    out = {"name": name}
    if offered:
        out["offered"] = True
    if embeds:
        out["purpose"] = "embedding"
    out["context"] = limit["context"]
    if not embeds:
        out["output_max"] = limit["output"]
    out |= rates(cost)
    tiers = cost.get("tiers", [])
    assert len(tiers) <= 1, f"{name} has more than one tier"
    for tier in tiers:
        out["above"] = {"input_tokens": tier["tier"]["size"]} | rates(tier)
    return out if embeds else out | abilities(provider, name, model)


def rates(cost):
    # Writing to a cache never costs less than reading plainly; such a price is a slip.
    slips = {"cache_write"} if cost.get("cache_write", cost["input"]) < cost["input"] else set()
    return {ours: dollars(cost[theirs]) for ours, theirs in RATES.items() if theirs in cost and theirs not in slips}


def dollars(amount):
    return f"{amount:.9f}".rstrip("0").rstrip(".")


def abilities(provider, name, model):
    hears = model["modalities"]["input"]
    known = {
        "images": "image" in hears,
        "audio": "audio" in hears,
        "tools": model.get("tool_call"),
        "structured": model.get("structured_output"),
        "reasoning": model.get("reasoning"),
        "sampling": model.get("temperature"),
        "prefill": {"anthropic": name not in NO_PREFILL, "openai": False}.get(provider),
    }
    pick = lambda wanted: [ability for ability, value in known.items() if value is wanted]
    return {"can": pick(True), "cannot": pick(False)}


def one_row_a_line(table):
    """JSON with a line for each model, so that a refresh can be read as a diff."""
    head = ",\n".join(f"  {json.dumps(key)}: {json.dumps(table[key])}" for key in ("as_of", "source"))
    lists = []
    for provider, models in table["providers"].items():
        lines = ",\n".join(f"      {json.dumps(model)}" for model in models)
        lists.append(f"    {json.dumps(provider)}: [\n{lines}\n    ]")
    return f"{{\n{head},\n  \"providers\": {{\n" + ",\n".join(lists) + "\n  }\n}"


LITELLM = {"input": "input_cost_per_token", "output": "output_cost_per_token",
           "cached_input": "cache_read_input_token_cost", "cache_write_input": "cache_creation_input_token_cost"}


def leave_out_disputed(providers, others):
    compared = 0
    for provider, models in providers.items():
        for model in models:
            other = others.get(f"{PROVIDERS[provider][1]}/{model['name']}") or others.get(model["name"])
            compared += other is not None
            disputed = [field for field in LITELLM if other and differ(provider, model, other, field)]
            if {"input", "output"} & set(disputed):
                disputed = [*LITELLM, "above"]
            for field in disputed:
                model.pop(field, None)
    print(f"{compared} of {sum(map(len, providers.values()))} models compared", file=sys.stderr)


def differ(provider, model, other, field):
    there = other.get(LITELLM[field])
    if field not in model or not isinstance(there, (int, float)):
        return False
    here, there = float(model[field]), there * 1e6
    if max(here, there) <= 2 * min(here, there):
        return False
    print(f"{provider}/{model['name']} {field}: {here:g} at models.dev, {there:g} at LiteLLM", file=sys.stderr)
    return True


if __name__ == "__main__":
    match sys.argv[1:]:
        case [checkout, litellm]:
            make(checkout, litellm)
        case _:
            sys.exit(__doc__)
