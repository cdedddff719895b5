//! The groups extension.
