//! `frames.json`.

use crate::suite::{Outcome, Suite};
use crate::wire::same;
use bytes::Bytes;
use whatsio_core::noise::frame::{self, Deframer, FrameError, PROLOGUE, Preamble};
use whatsio_fixtures::Hex;
use whatsio_fixtures::frames::{DeframeVector, FirstWrite, FramesFile, LimitVector, PreambleVector};

const NAME: &str = "frames.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about"], |file| {
        let vectors: FramesFile = match whatsio_fixtures::load(NAME) {
            Ok(vectors) => vectors,
            Err(error) => return file.section("preambles", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        file.section("preambles", &vectors.preambles, |vector| vector.name.clone(), check_preamble);
        file.section("first_write", &[vectors.first_write], |vector| vector.name.clone(), check_first_write);
        file.section(
            "noise_prologue",
            &[vectors.noise_prologue],
            |_| "prologue".into(),
            |vector| same("prologue", &Hex(PROLOGUE.to_vec()), &vector.hex),
        );
        file.section("deframe", &vectors.deframe, |vector| vector.name.clone(), check_deframe);
        file.section("limits", &vectors.limits, |vector| vector.name.clone(), check_limit);
    });
}

fn check_preamble(vector: &PreambleVector) -> Outcome {
    let preamble = Preamble { routing: vector.routing_info.as_ref().map(bytes) };
    let written = preamble.write().map_err(|error| error.to_string())?;
    same("written", &Hex(written.to_vec()), &vector.hex)?;
    let mut deframer = Deframer::new();
    deframer.push(bytes(&vector.hex));
    same("read", &deframer.preamble(), &Ok(Some(preamble)))?;
    same("left over", &deframer.waiting(), &0)
}

fn check_first_write(vector: &FirstWrite) -> Outcome {
    for (stream, routed) in [(&vector.hex, false), (&vector.hex_with_edge_routing, true)] {
        let mut deframer = Deframer::new();
        deframer.push(bytes(stream));
        let preamble = deframer.preamble().map_err(|error| error.to_string())?.ok_or("preamble is incomplete")?;
        same("routing", &preamble.routing.is_some(), &routed)?;
        let frame = deframer.next_frame().map_err(|error| error.to_string())?.ok_or("frame is incomplete")?;
        same("payload", &Hex(frame.to_vec()), &vector.payload)?;
        same("left over", &deframer.waiting(), &0)?;
        let mut written = preamble.write().map_err(|error| error.to_string())?.to_vec();
        written.extend_from_slice(&frame::framed(&vector.payload).map_err(|error| error.to_string())?);
        same("written", &Hex(written), stream)?;
    }
    Ok(())
}

fn check_deframe(vector: &DeframeVector) -> Outcome {
    let mut deframer = Deframer::new();
    let mut frames = Vec::new();
    for chunk in &vector.chunks {
        deframer.push(bytes(chunk));
        while let Some(frame) = deframer.next_frame().map_err(|error| error.to_string())? {
            frames.push(Hex(frame.to_vec()));
        }
    }
    same("frames", &frames, &vector.frames)?;
    same("left over", &deframer.waiting(), &vector.left_over_bytes)
}

fn check_limit(vector: &LimitVector) -> Outcome {
    let prefix = frame::length_of(vector.payload_len);
    if !vector.ok {
        let limit = frame::FRAME_LIMIT;
        return same("length", &prefix, &Err(FrameError::TooLong { length: vector.payload_len, limit }));
    }
    let prefix = prefix.map_err(|error| error.to_string())?;
    if let Some(expected) = &vector.length_prefix {
        same("length", &Hex(prefix.to_vec()), expected)?;
    }
    let mut deframer = Deframer::new();
    deframer.handshake_done();
    deframer.push(Bytes::copy_from_slice(&prefix));
    deframer.push(Bytes::from(vec![0x5A; vector.payload_len]));
    let frame = deframer.next_frame().map_err(|error| error.to_string())?.ok_or("frame is incomplete")?;
    same("frame", &frame.len(), &vector.payload_len)
}

fn bytes(hex: &Hex) -> Bytes {
    Bytes::copy_from_slice(hex)
}
