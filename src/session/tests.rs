//! Tests of the life of a session, on a made-up clock.
