//! Closed sets of words: one declaration gives the enum, its words in the file, and its line in the schema.

/// A value that is one of a few words.
pub trait Choice: Copy + Sized + 'static {
    /// Every value, in the order in which the documentation lists them.
    const ALL: &'static [Self];
    /// The words, in the same order.
    const NAMES: &'static [&'static str];
    /// The word of this value.
    fn name(self) -> &'static str;
    /// The value of a word.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// Declares an enum whose values are words of the configuration file.
macro_rules! choices {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$inner])* $value,)+ }

        impl $crate::config::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];
            const NAMES: &'static [&'static str] = &[$($word,)+];
            fn name(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::config::Choice::name(*self))
            }
        }
    };
}

pub(super) use choices;
