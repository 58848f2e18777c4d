//! Files by completion, through io_uring where it can be had and through
//! threads where it cannot.
//!
//! ```
//! use forebay_linux::file::Auto;
//! use forebay_std::file::{Backend, Block, Config, Operation};
//!
//! let mut files = Auto::new(&Config::default())?;
//! if let Some(reason) = files.reason() {
//!     println!("threads, as {reason}; {}", reason.advice());
//! }
//! let file = files.attach(std::fs::File::open("/proc/self/stat")?)?;
//! let lease = files.lease().ok_or("all are out")?;
//! files.submit(Operation::Read { file, lease, range: 0..100, offset: 0 })?;
//! let completion = files.reap(Block::UntilOne)?.ok_or("nothing is under way")?;
//! assert!(completion.result?.moved().is_some_and(|len| len > 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both do the same and report the same; the trait and its words are those of
//! [`forebay_std::file`].

mod auto;
mod refusal;
mod uring;

pub use auto::{Auto, AutoFile, AutoLease, NoBackend};
pub use refusal::Refusal;
pub use uring::Uring;
