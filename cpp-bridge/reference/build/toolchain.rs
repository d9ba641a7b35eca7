//! Decides for which processor a reference is compiled, and whether the compiler can compile it.
//!
//! Part of the providers' build scripts. Runs no compiler and knows no reference in particular.

/// What a build of a reference is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Its C source alone defines every bit that it computes: what answers are compared with.
    Checking,
    /// As fast as its sources can be compiled: what speed is measured against.
    Fastest,
}

impl Profile {
    /// The word that results bear.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Fastest => "fastest",
        }
    }
}

/// The machine that builds and the one that is built for, by rustc's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machines {
    /// Triple of the machine that builds.
    pub host: String,
    /// Triple of the machine that is built for.
    pub target: String,
    /// Architecture of the latter.
    pub target_arch: String,
    /// Whether the machine that builds has what x86-64-v3 adds, as far as kernels use it.
    pub host_has_avx2: bool,
}

/// The `-march` value for this build: what the user says, nothing if the user says an empty string,
/// and else what the machine that builds has, if it is built for: AVX2 on an x86 that has it, or with
/// [`Profile::Fastest`] all of its instructions. Of another machine nothing is known, not even that it
/// is of the same generation.
pub fn march(requested: Option<&str>, profile: Profile, machines: &Machines) -> Option<String> {
    match (requested, profile) {
        (Some(""), _) => None,
        (Some(value), _) => Some(value.to_owned()),
        (None, Profile::Fastest) => (machines.host == machines.target).then(|| "native".to_owned()),
        (None, Profile::Checking) => (machines.target_arch == "x86_64"
            && machines.host == machines.target
            && machines.host_has_avx2)
            .then(|| "x86-64-v3".to_owned()),
    }
}

/// Refuses a compiler other than gcc, called `version`, for files that need gcc for the reason `why`.
///
/// # Errors
/// One message with the reason and what to do.
pub fn require_gcc(is_gcc: bool, version: &str, why: &str) -> Result<(), String> {
    if is_gcc {
        return Ok(());
    }
    Err(format!(
        "the C++ compiler is {version}, but {why}. Install g++ 11 or newer (Debian, Ubuntu: `apt \
         install g++`; Fedora: `dnf install gcc-c++`; macOS: `brew install gcc`, whose command is \
         `g++-<version>`) and name it: `export CXX=g++ CC=gcc`"
    ))
}
