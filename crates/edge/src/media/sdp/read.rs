use std::io::Cursor;

use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;
use sluice_sfu::forward::AnnouncedEncoding;
use sluice_sfu::layer::SPATIAL_MAX;
use sluice_sfu::rtp::Extension;
use sluice_types::room::MediaKind;

use super::codec::recognize;
use super::{Direction, Fingerprint, Format, MEDIA_MAX, RemoteDescription, RemoteMedia, SdpError};

/// The first identification tag or user fragment that is too long (RFC 8445, section 5.3).
const TOKEN_BYTES_MAX: usize = 256;

/// Reads a client's offer or answer.
pub(crate) fn read(text: &str) -> Result<RemoteDescription, SdpError> {
    let session = SessionDescription::unmarshal(&mut Cursor::new(text))
        .map_err(|error| SdpError::Syntax(error.to_string()))?;
    let media = &session.media_descriptions;
    if media.len() > MEDIA_MAX {
        return Err(SdpError::TooManyMedia { found: media.len() });
    }
    // With BUNDLE (RFC 9143) the transport's attributes stand in any one m-line, or above all.
    let shared = |key: &'static str| {
        session
            .attribute(key)
            .map(String::as_str)
            .or_else(|| media.iter().find_map(|media| value(media, key)))
            .ok_or(SdpError::Missing(key))
    };
    let ufrag = shared("ice-ufrag")?;
    if ufrag.is_empty() || ufrag.len() > TOKEN_BYTES_MAX {
        return Err(fault("ice-ufrag", ufrag, "4 to 256 characters"));
    }
    let fingerprint = shared("fingerprint")?;
    let (algorithm, digest) = fingerprint.split_once(' ').unwrap_or((fingerprint, ""));
    let fingerprint = Some(digest)
        .filter(|_| algorithm.eq_ignore_ascii_case("sha-256"))
        .and_then(|digest| Fingerprint::parse(digest.trim()))
        .ok_or_else(|| {
            fault(
                "fingerprint",
                fingerprint,
                "sha-256 and 32 bytes in hexadecimal",
            )
        })?;
    Ok(RemoteDescription {
        ufrag: ufrag.to_owned(),
        fingerprint,
        media: media
            .iter()
            .map(|media| read_media(media, &session))
            .collect::<Result<_, _>>()?,
    })
}

fn fault(attribute: &'static str, value: &str, allowed: &'static str) -> SdpError {
    SdpError::Value {
        attribute,
        value: value.chars().take(100).collect(),
        allowed,
    }
}

fn value<'a>(media: &'a MediaDescription, key: &str) -> Option<&'a str> {
    media.attribute(key).flatten()
}

/// The values of every attribute `key`.
fn values<'a>(media: &'a MediaDescription, key: &str) -> impl Iterator<Item = &'a str> {
    media
        .attributes
        .iter()
        .filter(move |attribute| attribute.key == key)
        .filter_map(|attribute| attribute.value.as_deref())
}

fn read_media(
    media: &MediaDescription,
    session: &SessionDescription,
) -> Result<RemoteMedia, SdpError> {
    let mid = value(media, "mid").ok_or(SdpError::Missing("mid"))?;
    // One-byte header extensions carry at most 16 bytes (RFC 8285, section 4.2).
    if mid.is_empty() || mid.len() > 16 || !mid.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(fault("mid", mid, "1 to 16 visible ASCII characters"));
    }
    let name = media.media_name.media.clone();
    let kind = match name.as_str() {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let has = |key: &str| media.has_attribute(key) || session.has_attribute(key);
    let direction = Direction {
        sends: !has("recvonly") && !has("inactive"),
        receives: !has("sendonly") && !has("inactive"),
    };
    let bundle_only = media.has_attribute("bundle-only");
    Ok(RemoteMedia {
        mid: mid.to_owned(),
        kind,
        name,
        protocol: media.media_name.protos.join("/"),
        rejected: media.media_name.port.value == 0 && !bundle_only,
        direction,
        formats: kind.map_or_else(Vec::new, |kind| formats(media, kind)),
        extensions: extensions(media),
        encodings: encodings(media),
    })
}

fn formats(media: &MediaDescription, kind: MediaKind) -> Vec<Format> {
    let by_type = |key: &'static str, payload_type: &str| {
        values(media, key)
            .filter_map(|line| line.split_once(' '))
            .find_map(|(number, rest)| (number == payload_type).then(|| rest.trim().to_owned()))
    };
    let mut formats: Vec<Format> = Vec::new();
    for number in &media.media_name.formats {
        let (Ok(payload_type @ 0..=127), Some(rtpmap)) =
            (number.parse::<u8>(), by_type("rtpmap", number))
        else {
            continue;
        };
        let fmtp = by_type("fmtp", number);
        let Some(codec) = recognize(&rtpmap, fmtp.as_deref()).filter(|codec| codec.kind() == kind)
        else {
            continue;
        };
        if formats.iter().any(|format| format.codec == codec) {
            continue;
        }
        let apt = format!("apt={number}");
        let retransmission = values(media, "fmtp")
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, parameters)| parameters.split(';').any(|p| p.trim() == apt))
            .filter(|(rtx, _)| by_type("rtpmap", rtx).is_some_and(|map| map.starts_with("rtx/")))
            .filter_map(|(rtx, _)| rtx.parse().ok().filter(|&rtx: &u8| rtx < 128))
            // A number that stands for two things stands for none.
            .find(|&rtx| {
                formats
                    .iter()
                    .all(|format| format.retransmission != Some(rtx))
            });
        let nack = values(media, "rtcp-fb")
            .any(|line| line == format!("{number} nack") || line == "* nack");
        formats.push(Format {
            codec,
            payload_type,
            retransmission,
            rtpmap,
            fmtp,
            nack,
        });
    }
    formats
}

/// `a=extmap` (RFC 8285, section 8): the extensions that the edge reads or passes on. Each has one
/// number and each number one extension, else what packets carry could be told apart no more.
fn extensions(media: &MediaDescription) -> Vec<(Extension, u8)> {
    let mut known: Vec<(Extension, u8)> = Vec::new();
    for line in values(media, "extmap") {
        let mut words = line.split_ascii_whitespace();
        let id = words.next().and_then(|word| word.split('/').next());
        let (Some(id), Some(extension)) = (
            id.and_then(|id| id.parse().ok()),
            words.next().and_then(Extension::from_uri),
        ) else {
            continue;
        };
        // 0 is padding, and 15 is kept back (section 4.2).
        let allowed = !matches!(id, 0 | 15);
        if allowed && known.iter().all(|&(e, n)| e != extension && n != id) {
            known.push((extension, id));
        }
    }
    known
}

/// What an m-line sends: its simulcast encodings by `a=simulcast` (RFC 8853) or, from older clients,
/// by `a=ssrc-group:SIM`; else its one stream.
fn encodings(media: &MediaDescription) -> Vec<AnnouncedEncoding> {
    let simulcast = value(media, "simulcast").map_or_else(Vec::new, sent_rids);
    if !simulcast.is_empty() {
        return simulcast
            .into_iter()
            .map(|rid| AnnouncedEncoding {
                rid: Some(rid.as_bytes().into()),
                ..AnnouncedEncoding::default()
            })
            .collect();
    }
    let numbers = |line: &str| -> Vec<u32> {
        let words = line.split_ascii_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let groups = |kind: &'static str| {
        values(media, "ssrc-group")
            .filter_map(move |line| line.strip_prefix(kind))
            .map(numbers)
    };
    let layers = groups("SIM ")
        .next()
        .or_else(|| {
            groups("FID ")
                .next()
                .map(|pair| pair[..pair.len().min(1)].to_vec())
        })
        .or_else(|| {
            let first = values(media, "ssrc").find_map(|line| line.split(' ').next()?.parse().ok());
            first.map(|ssrc| vec![ssrc])
        });
    let repairs = |ssrc: u32| {
        groups("FID ").find_map(|pair| match pair[..] {
            [media, repair] if media == ssrc => Some(repair),
            _ => None,
        })
    };
    let announced = |ssrc: Option<u32>| AnnouncedEncoding {
        rid: None,
        ssrc,
        retransmission_ssrc: ssrc.and_then(repairs),
    };
    match layers.as_deref() {
        None | Some([]) => vec![announced(None)],
        Some(layers) => layers
            .iter()
            .take(SPATIAL_MAX)
            .map(|&ssrc| announced(Some(ssrc)))
            .collect(),
    }
}

/// The encodings that `a=simulcast` says are sent, each by its first alternative.
fn sent_rids(simulcast: &str) -> Vec<&str> {
    let words: Vec<_> = simulcast.split_ascii_whitespace().collect();
    let Some(list) = words.chunks(2).find_map(|pair| match pair {
        ["send", list] => Some(*list),
        _ => None,
    }) else {
        return Vec::new();
    };
    list.split(';')
        .filter_map(|alternatives| alternatives.split(',').next())
        .map(|rid| rid.trim_start_matches('~'))
        // One-byte header extensions carry at most 16 bytes (RFC 8285, section 4.2).
        .filter(|rid| {
            (1..=16).contains(&rid.len()) && rid.bytes().all(|b| b.is_ascii_alphanumeric())
        })
        .take(SPATIAL_MAX)
        .collect()
}
