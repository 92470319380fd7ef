//! Readings of CPU, memory, disk, network, GPU and process, with a short history.
