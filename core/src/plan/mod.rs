//! What to list next, and how objects become batches.
