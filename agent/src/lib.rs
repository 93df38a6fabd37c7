//! All of asyncprof that runs inside the profiled process.
