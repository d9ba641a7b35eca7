//! The first rung.

use super::*;

fn side<'a>(ids: &'a [u32], byte_lengths: &'a [usize], text: Option<&'a [u8]>) -> Tokenised<'a> {
    Tokenised { ids, byte_lengths, detokenised: text }
}

#[test]
fn equal_ids_and_bytes_are_equal() {
    let one = side(&[1, 5, 9], &[0, 3, 2], Some(b"Hello"));
    let got = compare_tokens(&one, &one).unwrap();
    assert!(got.equal() && got.difference.is_none());
    assert_eq!(got.bytes_equal, Some(true));
}

#[test]
fn the_first_difference_has_its_byte_and_its_surroundings() {
    let a: Vec<u32> = (0..20).collect();
    let mut b = a.clone();
    b[8] = 99;
    b[9] = 98;
    let lengths: Vec<usize> = (0..20).map(|i| if i == 0 { 0 } else { 2 }).collect();
    let got = compare_tokens(&side(&a, &lengths, None), &side(&b, &lengths, None)).unwrap();
    assert!(!got.equal());
    assert_eq!(got.bytes_equal, None, "bytes that no one asked for are not equal bytes");
    let d = got.difference.unwrap();
    assert_eq!((d.index, d.byte_offset, d.from), (8, 14, 3));
    assert_eq!(d.reference, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(d.test, [3, 4, 5, 6, 7, 99, 98, 10, 11, 12, 13]);
}

#[test]
fn a_prefix_is_a_difference_at_its_end() {
    let got = compare_tokens(&side(&[7, 8], &[1, 1], None), &side(&[7, 8, 9], &[1, 1, 1], None));
    let d = got.unwrap().difference.unwrap();
    assert_eq!((d.index, d.byte_offset), (2, 2));
    assert_eq!((d.reference, d.test), (vec![7, 8], vec![7, 8, 9]));
    let none = compare_tokens(&side(&[], &[], None), &side(&[7], &[1], None)).unwrap();
    assert_eq!(none.difference.unwrap().index, 0);
}

#[test]
fn different_bytes_of_equal_ids_are_found() {
    let got =
        compare_tokens(&side(&[1], &[2], Some(b"ab")), &side(&[1], &[2], Some(b"aB"))).unwrap();
    assert_eq!(
        (got.bytes_equal, got.first_different_byte, got.equal()),
        (Some(false), Some(1), false)
    );
    let longer =
        compare_tokens(&side(&[1], &[2], Some(b"ab")), &side(&[1], &[2], Some(b"ab "))).unwrap();
    assert_eq!(longer.first_different_byte, Some(2));
}

#[test]
fn byte_lengths_must_be_one_an_id() {
    let error =
        compare_tokens(&side(&[1, 2], &[1, 1], None), &side(&[1, 2], &[1], None)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("byte lengths of the test's ids: 1 lengths, but expected 2"), "{text}");
}
