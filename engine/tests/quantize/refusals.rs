//! What is not converted, with the whole message.

use bitnet_engine::gguf::TensorType;
use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_engine::quantize::{Options, Target};

use crate::edited::{edited, tensor};
use crate::files::{convert, matrix, one, tiles};
use crate::synthetic::{self, TINY};

const NAME: &str = "blk.0.attn_q.weight";

#[track_caller]
fn refusal(bytes: &[u8], options: Options) -> String {
    match convert(bytes, options) {
        Ok(_) => panic!("not refused"),
        Err(error) => error.to_string(),
    }
}

/// `values` repeated over a matrix of 256 columns and two rows.
fn pattern(values: &[f32]) -> Vec<u8> {
    let all: Vec<f32> = values.iter().copied().cycle().take(512).collect();
    matrix(&[256, 2], &all)
}

#[test]
fn what_is_not_ternary_is_refused_with_its_distance() {
    let truth = |target: Target, others: usize, farthest: &str| {
        format!(
            "tensor '{NAME}' is not ternary: {others} of its 512 weights are neither 0 nor ± the \
             largest magnitude, and the farthest is {farthest} % of that away; {target} would change \
             the model. Choose another type, or allow the loss"
        )
    };
    let mixed = pattern(&[0.0, -2.0, 2.0, 0.5]);
    for target in [Target::I2S, Target::Tq1_0, Target::Tq2_0] {
        assert_eq!(refusal(&mixed, Options::new(target)), truth(target, 128, "25.00"));
        let lossy = Options { allow_lossy: true, ..Options::new(target) };
        assert!(convert(&mixed, lossy).is_ok(), "{target}");
    }
    // One scale a row: ternary to types with a scale for each block, and to no other.
    let rows: Vec<f32> = (0..512).map(|i| if i < 256 { 1.0 } else { -4.0 }).collect();
    let rows = matrix(&[256, 2], &rows);
    assert!(convert(&rows, Options::new(Target::Tq2_0)).is_ok());
    assert_eq!(refusal(&rows, Options::new(Target::I2S)), truth(Target::I2S, 256, "25.00"));
}

#[test]
fn shapes_that_a_type_does_not_hold_are_refused_before_anything_is_written() {
    let narrow = matrix(&[96, 2], &[0.0; 192]);
    for (target, block) in [(Target::Q4K, 256), (Target::Tq1_0, 256), (Target::Q6K, 256)] {
        let truth = format!(
            "tensor '{NAME}' cannot become {target}: it has 96 elements a row, which is no multiple of \
             {target}'s block of {block}; choose a type with smaller blocks, or F16"
        );
        assert_eq!(refusal(&narrow, Options::new(target)), truth);
    }
    assert!(convert(&narrow, Options::new(Target::Q8_0)).is_ok());
    let truth = format!(
        "tensor '{NAME}' cannot become I2_S: it has 96 elements a row, which is no multiple of I2_S's \
         block of 128; choose F16 or another type"
    );
    assert_eq!(refusal(&narrow, Options::new(Target::I2S)), truth);
    let truth = format!(
        "tensor '{NAME}' cannot become TL2: it is of type TL2 (ggml type 39 of bitnet.cpp; MXFP4 in \
         llama.cpp), but no matrix with rows of at least 256 elements; choose another type"
    );
    assert_eq!(refusal(&narrow, Options::new(Target::Tl2)), truth);
    let deep = matrix(&[256, 2, 2], &[0.0; 1024]);
    let truth = format!(
        "tensor '{NAME}' has 3 dimensions, but I2_S holds matrices only; choose another type"
    );
    assert_eq!(refusal(&deep, Options::new(Target::I2S)), truth);
}

#[test]
fn tiles_that_are_not_known_are_refused_for_reading_and_for_writing() {
    let square = pattern(&[1.0]);
    let truth = format!(
        "tensor '{NAME}' to be written: no TL1 kernels are published for matrices of 2 rows and 256 \
         columns, and their tiles decide where a weight lies; state the kernel_config.ini that the \
         kernels were generated with"
    );
    assert_eq!(refusal(&square, Options::new(Target::Tl1)), truth);
    let stated = Options { tiles: tiles(Target::Tl1), ..Options::new(Target::Tl1) };
    let (tl1, _) = convert(&synthetic::bytes(&TINY), stated).unwrap();
    let error = refusal(&tl1, Options::new(Target::I2S));
    assert!(
        error.starts_with("tensor 'blk.0.ffn_down.weight' as it is: no TL1 kernels are"),
        "{error}"
    );
}

#[test]
fn embedding_and_head_need_rows_of_their_own() {
    let table = |name, target| {
        let file = one(name, TensorType::F32, &[256, 1], &[0; 1024]);
        let (embedding, output) = match name {
            "output.weight" => (None, Some(target)),
            _ => (Some(target), None),
        };
        refusal(&file, Options { embedding, output, ..Options::new(Target::F16) })
    };
    for (name, target) in [("token_embd.weight", Target::I2S), ("output.weight", Target::Tl2)] {
        let truth = format!(
            "tensor '{name}' cannot become {target}, whose rows do not stand alone: embedding and head \
             are looked up row by row; choose another type for it"
        );
        assert_eq!(table(name, target), truth);
    }
    let truth = "a type is asked for 'output.weight', but the file has no such tensor (without a head of \
                 its own a model uses its embedding); leave it out";
    let asked = Options { output: Some(Target::F16), ..Options::new(Target::F16) };
    assert_eq!(refusal(&synthetic::bytes(&TINY), asked), truth);
}

#[test]
fn types_that_are_not_read_are_refused() {
    let file = one(NAME, TensorType::Q3K, &[256, 1], &[0; 110]);
    let truth = format!(
        "tensor '{NAME}' is of type Q3_K, which is not read here; convert the original model, or a \
         version of it in F32, F16 or BF16"
    );
    assert_eq!(refusal(&file, Options::new(Target::F16)), truth);
}

#[test]
fn numbers_that_are_none_and_numbers_out_of_range_are_refused() {
    let mut values = [1f32; 512];
    values[256 + 3] = f32::NAN;
    let nan = matrix(&[256, 2], &values);
    let damaged = "the file is damaged: fetch or convert it again";
    for target in Target::ALL.into_iter().filter(|t| !matches!(t, Target::Tl1 | Target::Tl2)) {
        // F32 stays as it is, whatever it holds.
        if target != Target::F32 {
            let truth = format!("tensor '{NAME}' holds NaN in row 1, column 3; {damaged}");
            assert_eq!(refusal(&nan, Options::new(target)), truth, "{target}");
        }
    }
    let large = pattern(&[1e6]);
    for target in [Target::F16, Target::Tq2_0] {
        let truth = format!(
            "tensor '{NAME}' holds 1000000, which {target} cannot hold; choose another type"
        );
        assert_eq!(refusal(&large, Options::new(target)), truth);
    }
    let small = pattern(&[1e-9, 0.0]);
    let error = refusal(&small, Options::new(Target::Tq1_0));
    assert_eq!(
        error,
        format!("tensor '{NAME}' holds 0.000000001, which TQ1_0 cannot hold; choose another type")
    );
    let truth = format!(
        "tensor '{NAME}' holds nothing but zeros, so that I2_S has no scale for it; choose another type"
    );
    assert_eq!(refusal(&pattern(&[0.0]), Options::new(Target::I2S)), truth);
    assert!(convert(&pattern(&[0.0]), Options::new(Target::Tq2_0)).is_ok());
}

#[test]
fn codes_and_scales_that_no_quantiser_writes_are_refused() {
    let i2_s = |codes: u8, scale: f32| {
        let mut bytes = vec![codes; 128];
        bytes[40] = 0b01_01_11_01;
        bytes.extend_from_slice(&scale.to_le_bytes());
        bytes.resize(128 + 32, 0);
        one(NAME, TensorType::I2S, &[256, 2], &bytes)
    };
    // Byte 40 is byte 8 of the second block: values 128 + 8, + 32, + 64 and + 96.
    let words = "no packer of I2_S writes; the file is damaged: fetch or convert it again";
    let truth = format!("tensor '{NAME}' has the index 3 at row 0, column 200, which {words}");
    assert_eq!(refusal(&i2_s(0x55, 1.0), Options::new(Target::F16)), truth);
    let mut tq2_0 = [0x55; 2 * 66];
    tq2_0[66 + 64..].copy_from_slice(&[0, 0x3c]);
    tq2_0[66] = 0b11;
    let tq2_0 = one(NAME, TensorType::Tq2_0, &[256, 2], &tq2_0);
    let words = words.replace("I2_S", "TQ2_0");
    let truth = format!("tensor '{NAME}' has the index 3 at row 1, column 0, which {words}");
    assert_eq!(refusal(&tq2_0, Options::new(Target::I2S)), truth);

    let base = synthetic::bytes(&TINY);
    let mut bytes = vec![0x55; 256 * 256 / 4];
    bytes.extend_from_slice(&[0; 32]);
    let zero = edited(&base, &[tensor(NAME, TensorType::I2S, &[256, 256], bytes)]);
    let truth = format!(
        "tensor '{NAME}' has the scale 0, which is not a finite number above 0; the file is \
         damaged: fetch or convert it again"
    );
    assert_eq!(refusal(&zero, Options::new(Target::F16)), truth);
    let odd = one(NAME, TensorType::I2S, &[256, 3], &[0x55; 256 * 3 / 4 + 32]);
    let mut four = Options::new(Target::F16);
    four.source.i2_s = FileLayout::FourRows;
    let truth = format!(
        "tensor '{NAME}' has 3 rows, but the I2_S layout four-rows packs 4 of them together; the file \
         has another layout, or is damaged"
    );
    assert_eq!(refusal(&odd, four), truth);
}
