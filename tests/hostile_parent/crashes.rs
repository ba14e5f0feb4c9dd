//! Inputs that are meant to take the service down; strangers who connect.
