"""Programs run by C kernels that the system's compiler makes for this machine, once."""
