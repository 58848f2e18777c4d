//! Takes rights away from this process, which keeps them taken from what it
//! starts and becomes.

#![allow(unreachable_pub, reason = "the file is also one of a test of the tool")]

use std::{collections::BTreeMap, env::consts::ARCH};

use rustix::{
    process::{Gid, Resource, Rlimit, Uid, getuid, setrlimit},
    thread::{set_thread_gid, set_thread_groups, set_thread_res_uid},
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// Takes away what `words` say, separated by commas and in their order, from
/// this thread and those that it starts:
///
/// - `CALL=ERRNO`: a seccomp filter answers this number to a system call of
///   io_uring: `setup`, `enter` or `register`; or to `openat2` or `pwritev2`
/// - `memlock=BYTES`, `nofile=COUNT`, `nproc=COUNT`: limits; the last one, of
///   threads, does not bind root
/// - `nobody`: root becomes a user without any rights
///
/// # Panics
///
/// When that cannot be done.
pub fn apply(words: &str) {
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let (what, value) = word.split_once('=').unwrap_or((word, "0"));
        let value = value.parse().unwrap();
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        match what {
            "setup" => filter(425, value),
            "enter" => filter(426, value),
            "register" => filter(427, value),
            "openat2" => filter(437, value),
            "pwritev2" => filter(if ARCH == "x86_64" { 328 } else { 287 }, value),
            "memlock" => setrlimit(Resource::Memlock, limit).unwrap(),
            "nofile" => setrlimit(Resource::Nofile, limit).unwrap(),
            "nproc" => setrlimit(Resource::Nproc, limit).unwrap(),
            "nobody" => nobody(),
            other => panic!("no restriction {other}"),
        }
    }
}

/// The calls of io_uring have one number on every architecture.
fn filter(call: i64, errno: u64) {
    let errno = SeccompAction::Errno(u32::try_from(errno).unwrap());
    let rules = BTreeMap::from([(call, vec![])]);
    let architecture = TargetArch::try_from(ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn nobody() {
    if !getuid().is_root() {
        return;
    }
    let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
    set_thread_groups(&[]).unwrap();
    set_thread_gid(gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
}
