//! What the build of a reference is for, as its identity says. It measures and compares nothing.

use std::fmt;

use super::Identity;

/// Argument of a reference's worker program: its settings are those for speed and not the reproducible ones.
pub const SPEED_SETTINGS: &str = "--settings-for-speed";

/// Argument of a reference's worker program: the KV cache keeps keys in Q8_0.
pub const KEYS_IN_Q8_0: &str = "--keys-in-q8_0";

/// What a build of a reference is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceBuild {
    /// Its source alone defines every bit that it computes: suites compare with it.
    Checking,
    /// As fast as its sources can be compiled: benchmarks measure against it.
    Fastest,
    /// Built by somebody else, as `BITNET_CPP_DIR` names it, or another team's engine.
    Other,
}

impl ReferenceBuild {
    /// How an identity's `build` begins for a provider's word.
    pub fn marked(profile: &str) -> String {
        format!("{profile} build")
    }

    /// The build that `identity` names.
    pub fn of(identity: &Identity) -> Self {
        [Self::Checking, Self::Fastest]
            .into_iter()
            .find(|build| identity.build.starts_with(&Self::marked(&build.to_string())))
            .unwrap_or(Self::Other)
    }
}

impl fmt::Display for ReferenceBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checking => "checking",
            Self::Fastest => "fastest",
            Self::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_read_from_what_a_worker_says() {
        let identity = |build: &str| Identity {
            name: String::new(),
            version: String::new(),
            source: String::new(),
            build: build.to_owned(),
        };
        for (text, build) in [
            ("checking build; reproducible settings; g++ 12", ReferenceBuild::Checking),
            ("fastest build; settings for speed; g++ 12", ReferenceBuild::Fastest),
            ("linked build; settings for speed; not known", ReferenceBuild::Other),
            ("gcc 12.2 -O3", ReferenceBuild::Other),
        ] {
            assert_eq!(ReferenceBuild::of(&identity(text)), build, "{text}");
        }
    }
}
