//! The derive macro of lumigrad's `Module` trait.
