//! Which codec an `a=rtpmap` with its `a=fmtp` is.

use sluice_sfu::codec::Codec;

/// The value of `key` in an `a=fmtp` line.
fn parameter<'a>(fmtp: Option<&'a str>, key: &str) -> Option<&'a str> {
    fmtp?.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case(key).then_some(value.trim())
    })
}

/// The codec, when it is one that is passed through.
pub(super) fn recognize(rtpmap: &str, fmtp: Option<&str>) -> Option<Codec> {
    let name = rtpmap.split('/').next()?;
    let known = |codec: Codec| Some(codec);
    match name.to_ascii_lowercase().as_str() {
        "opus" => known(Codec::Opus),
        "red" if rtpmap.starts_with("red/48000") => known(Codec::RedOpus),
        "vp8" => known(Codec::Vp8),
        "vp9" if parameter(fmtp, "profile-id").is_none_or(|profile| profile == "0") => {
            known(Codec::Vp9)
        }
        "av1" if parameter(fmtp, "profile").is_none_or(|profile| profile == "0") => {
            known(Codec::Av1)
        }
        "h264" if parameter(fmtp, "packetization-mode") == Some("1") => {
            h264(parameter(fmtp, "profile-level-id")?)
        }
        _ => None,
    }
}

/// RFC 6184, section 8.1: profile_idc, then the constraint flags, then the level.
fn h264(profile_level_id: &str) -> Option<Codec> {
    let bytes = u32::from_str_radix(profile_level_id, 16).ok()?;
    let (profile, constraints) = ((bytes >> 16) as u8, (bytes >> 8) as u8);
    let constraint_set1 = constraints & 0x40 != 0;
    match (profile, constraint_set1) {
        (0x42, true) => Some(Codec::H264ConstrainedBaseline),
        (0x42, false) => Some(Codec::H264Baseline),
        (0x4d, false) => Some(Codec::H264Main),
        (0x64, _) => Some(Codec::H264High),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_browsers_are_recognized() {
        let table = [
            (
                "opus/48000/2",
                Some("minptime=10;useinbandfec=1"),
                Some(Codec::Opus),
            ),
            ("red/48000/2", Some("111/111"), Some(Codec::RedOpus)),
            ("red/90000", None, None),
            ("VP8/90000", None, Some(Codec::Vp8)),
            ("VP9/90000", Some("profile-id=0"), Some(Codec::Vp9)),
            ("VP9/90000", Some("profile-id=2"), None),
            (
                "AV1/90000",
                Some("level-idx=5;profile=0;tier=0"),
                Some(Codec::Av1),
            ),
            (
                "H264/90000",
                Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
                Some(Codec::H264ConstrainedBaseline),
            ),
            (
                "H264/90000",
                Some("packetization-mode=1;profile-level-id=42001f"),
                Some(Codec::H264Baseline),
            ),
            (
                "H264/90000",
                Some("packetization-mode=1;profile-level-id=640032"),
                Some(Codec::H264High),
            ),
            (
                "H264/90000",
                Some("packetization-mode=1;profile-level-id=4d001f"),
                Some(Codec::H264Main),
            ),
            (
                "H264/90000",
                Some("packetization-mode=0;profile-level-id=42e01f"),
                None,
            ),
            ("rtx/90000", Some("apt=96"), None),
        ];
        for (rtpmap, fmtp, codec) in table {
            assert_eq!(recognize(rtpmap, fmtp), codec, "{rtpmap} {fmtp:?}");
        }
    }
}
