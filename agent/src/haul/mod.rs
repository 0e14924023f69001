//! Lanes, batches and the run: the only place that knows the order of the flow.
