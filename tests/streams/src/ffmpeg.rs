//! Encoding and decoding by ffmpeg, which `scripts/setup` installs.

use std::io::Write;
use std::process::Command;

use crate::container::{
    DELIMITER, SEQUENCE_HEADER, access_units, nal_units, open_units, read_ivf, write_ivf,
};
use crate::{Format, Frame, KEY_FRAME_EVERY, temporal_layer};

/// The type of an H.264 NAL unit of an instantaneous decoder refresh.
const IDR: u8 = 5;

/// Three temporal layers in the order 0 2 1 2.
const LAYERS: &str = "ts_number_layers=3:ts_target_bitrate=100,200,300:ts_rate_decimator=4,2,1:\
                      ts_periodicity=4:ts_layer_id=0,2,1,2:ts_layering_mode=3";

fn run(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error"])
        .args(arguments)
        .env("SVT_LOG", "-1")
        .output()
        .unwrap_or_else(|error| panic!("ffmpeg does not run ({error}): scripts/setup installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "ffmpeg {}: {said:.400}",
        arguments.join(" ")
    );
    output.stdout
}

/// A moving picture of that size, with a key frame every [`KEY_FRAME_EVERY`] pictures. The same
/// pictures come in every size.
#[must_use]
pub fn encode(format: Format, (width, height): (u16, u16), pictures: usize) -> Vec<Frame> {
    let source = format!("testsrc2=size=640x360:rate=30,scale={width}:{height}");
    let count = pictures.to_string();
    let every = KEY_FRAME_EVERY.to_string();
    let keys = format!("expr:eq(mod(n,{every}),0)");
    let x264 = format!("slices=2:keyint={every}:min-keyint={every}:scenecut=0");
    let svt = format!("pred-struct=1:keyint={every}:lp=1");
    let mut arguments = vec![
        "-f",
        "lavfi",
        "-i",
        &source,
        "-frames:v",
        &count,
        "-pix_fmt",
        "yuv420p",
        "-threads",
        "1",
        "-b:v",
        "400k",
    ];
    let vpx = [
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-lag-in-frames",
        "0",
        "-auto-alt-ref",
        "0",
        "-error-resilient",
        "default",
        "-g",
        "9999",
        "-force_key_frames",
        &keys,
        "-ts-parameters",
        LAYERS,
        "-f",
        "ivf",
    ];
    match format {
        Format::Vp8 => {
            arguments.extend(["-c:v", "libvpx"]);
            arguments.extend(vpx);
        }
        Format::Vp9 => {
            arguments.extend(["-c:v", "libvpx-vp9"]);
            arguments.extend(vpx);
        }
        Format::H264 => arguments.extend([
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-x264-params",
            &x264,
            "-bsf:v",
            "h264_metadata=aud=insert",
            "-f",
            "h264",
        ]),
        Format::Av1 => arguments.extend([
            "-c:v",
            "libsvtav1",
            "-preset",
            "12",
            "-svtav1-params",
            &svt,
            "-f",
            "ivf",
        ]),
    }
    arguments.push("-");
    let file = run(&arguments);
    let data = match format {
        Format::H264 => access_units(&file),
        _ => read_ivf(&file),
    };
    let frames: Vec<_> = data
        .into_iter()
        .enumerate()
        .map(|(picture, data)| Frame {
            key: is_key(format, &data),
            temporal: match format {
                Format::Vp8 | Format::Vp9 => temporal_layer(picture),
                Format::H264 | Format::Av1 => 0,
            },
            data,
        })
        .collect();
    assert_eq!(frames.len(), pictures);
    for (picture, frame) in frames.iter().enumerate() {
        assert_eq!(
            frame.key,
            picture.is_multiple_of(KEY_FRAME_EVERY),
            "{picture}"
        );
    }
    frames
}

/// Whether a decoder can start with a picture.
#[must_use]
pub fn is_key(format: Format, data: &[u8]) -> bool {
    let first = data.first().copied().unwrap_or(0xff);
    match format {
        Format::Vp8 => first & 1 == 0,
        Format::Vp9 => first & 0x0c == 0,
        Format::H264 => nal_units(data).iter().any(|nal| nal[0] & 0x1f == IDR),
        Format::Av1 => open_units(data)
            .iter()
            .any(|unit| unit[0] >> 3 & 0x0f == SEQUENCE_HEADER),
    }
}

/// Decodes pictures, none of which may fail, and gives a hash of each.
#[must_use]
pub fn decode(format: Format, pictures: &[Vec<u8>]) -> Vec<String> {
    let frames = pictures.iter().map(Vec::as_slice);
    let (container, bytes) = match format {
        Format::Vp8 => ("ivf", write_ivf(b"VP80", frames)),
        Format::Vp9 => ("ivf", write_ivf(b"VP90", frames)),
        Format::H264 => ("h264", frames.flatten().copied().collect()),
        Format::Av1 => {
            let units: Vec<_> = frames
                .map(|unit| {
                    let begun = unit.starts_with(&DELIMITER);
                    [if begun { &[][..] } else { &DELIMITER[..] }, unit].concat()
                })
                .collect();
            ("ivf", write_ivf(b"AV01", units.iter().map(Vec::as_slice)))
        }
    };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("there is room");
    let path = file.path().to_str().expect("a path of letters");
    let said = run(&[
        "-xerror",
        "-err_detect",
        "explode",
        "-threads",
        "1",
        "-f",
        container,
        "-i",
        path,
        "-autoscale",
        "0",
        "-vsync",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    String::from_utf8_lossy(&said)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()))
        .collect()
}
