//! D14: clocks that are wrong cost a hash, and nothing else.

use std::fs::File;
use std::time::{Duration, SystemTime};

use bitnet_runner::models::How;

use super::Bench;

#[test]
fn a_file_from_the_future_is_hashed_every_time_and_never_fetched_again() {
    let bench = Bench::new();
    bench.fetch().expect("fetched");
    assert_eq!(bench.fetch().expect("there").how, How::Present);
    let file = File::open(bench.file()).expect("the model");
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    file.set_modified(tomorrow).expect("another time");
    for _ in 0..2 {
        assert_eq!(bench.fetch().expect("there").how, How::Verified);
    }
    file.set_modified(SystemTime::UNIX_EPOCH).expect("another time");
    assert_eq!(bench.fetch().expect("there").how, How::Verified);
    assert_eq!(bench.fetch().expect("there").how, How::Present, "the past is as good as any");
}
