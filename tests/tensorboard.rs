//! Event files, read back by a reader of the tests' own: framing, checksums, tags, steps, values. Nothing here knows how
//! they were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lumigrad::data::{DataLoader, HostArray, synthetic};
use lumigrad::nn;
use lumigrad::optim::SGD;
use lumigrad::prelude::*;
use lumigrad::tensorboard::{SummaryWriter, TensorBoardLogger};
use lumigrad::train::{HParams, LightningModule, Log, Optimizers, TensorBatch, Trainer};

/// CRC-32C (Castagnoli), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

fn masked(bytes: &[u8]) -> u32 {
    crc(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field of a protobuf message.
#[derive(Clone, Debug)]
enum Field {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Fixed32([u8; 4]),
}

/// The fields of a message, each with its number.
struct Message(Vec<(u64, Field)>);

impl Message {
    fn parse(mut bytes: &[u8]) -> Message {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 127) << shift;
                if byte < 128 {
                    break;
                }
            }
            value
        }
        fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
            let (head, rest) = bytes.split_at(n);
            *bytes = rest;
            head
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Varint(varint(&mut bytes)),
                1 => Field::Fixed64(take(&mut bytes, 8).try_into().unwrap()),
                2 => {
                    let n = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, n).to_vec())
                }
                5 => Field::Fixed32(take(&mut bytes, 4).try_into().unwrap()),
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        Message(fields)
    }

    fn all(&self, number: u64) -> Vec<Field> {
        self.0.iter().filter(|(n, _)| *n == number).map(|(_, field)| field.clone()).collect()
    }

    fn has(&self, number: u64) -> bool {
        !self.all(number).is_empty()
    }

    fn bytes(&self, number: u64) -> Vec<u8> {
        match self.all(number).first() {
            Some(Field::Bytes(bytes)) => bytes.clone(),
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number)).unwrap()
    }

    fn message(&self, number: u64) -> Message {
        Message::parse(&self.bytes(number))
    }

    fn messages(&self, number: u64) -> Vec<Message> {
        let one = |field: Field| if let Field::Bytes(bytes) = field { Message::parse(&bytes) } else { panic!() };
        self.all(number).into_iter().map(one).collect()
    }

    /// 0 is left out of messages.
    fn int(&self, number: u64) -> u64 {
        match self.all(number).first() {
            Some(Field::Varint(value)) => *value,
            None => 0,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn float(&self, number: u64) -> f32 {
        match self.all(number).first() {
            Some(Field::Fixed32(bytes)) => f32::from_le_bytes(*bytes),
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn double(&self, number: u64) -> f64 {
        match self.all(number).first() {
            Some(Field::Fixed64(bytes)) => f64::from_le_bytes(*bytes),
            None => 0.0,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn doubles(&self, number: u64) -> Vec<f64> {
        self.bytes(number).chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// The event files of a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents."));
    files.sort();
    files
}

/// The events of a file, and how many bytes belong to no whole record.
fn parse(bytes: &[u8]) -> (Vec<Message>, usize) {
    let (mut events, mut rest) = (Vec::new(), bytes);
    while rest.len() >= 12 {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(rest[8..12].try_into().unwrap()), masked(&rest[..8]), "checksum of a length");
        let Some(content) = rest.get(12..12 + length + 4) else { break };
        let (content, sum) = content.split_at(length);
        assert_eq!(u32::from_le_bytes(sum.try_into().unwrap()), masked(content), "checksum of a content");
        events.push(Message::parse(content));
        rest = &rest[12 + length + 4..];
    }
    (events, rest.len())
}

fn events(dir: &Path) -> Vec<Message> {
    let files = files(dir);
    assert_eq!(files.len(), 1, "{files:?}");
    let (events, rest) = parse(&std::fs::read(&files[0]).unwrap());
    assert_eq!(rest, 0);
    assert_eq!(events[0].text(3), "brain.Event:2");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(events.iter().all(|event| (now - 600.0..=now).contains(&event.double(1))), "wall times");
    events.into_iter().skip(1).collect()
}

/// Step, tag and value of all summaries.
fn values(events: &[Message]) -> Vec<(u64, String, Message)> {
    let of = |event: &Message| {
        let step = event.int(2);
        event.message(5).messages(1).into_iter().map(move |value| (step, value.text(1), value))
    };
    events.iter().filter(|event| event.has(5)).flat_map(of).collect()
}

#[test]
fn checksums_are_castagnolis() {
    // RFC 3720, B.4.
    assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc(b"123456789"), 0xe306_9283);
}

#[test]
fn scalars_and_texts() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::new(dir.path()).unwrap();
    let device = Device::reference();
    for step in 0..3u64 {
        writer.add_scalar("loss", 0.5 / (step + 1) as f64, step * 1000).unwrap();
    }
    writer.add_scalar("tensor", device.scope(|| Tensor::scalar(-3.25)), 7).unwrap();
    writer.add_scalar("bad", f64::NAN, 8).unwrap();
    writer.add_text("notes", "**bold** — ü", 1).unwrap();
    writer.add_scalars("both/losses", &[("a", 1.0), ("b", 2.0)], 5).unwrap();
    writer.flush().unwrap();
    assert!(writer.add_scalar("two", device.scope(|| Tensor::ones(&[2])), 0).is_err());

    let values = values(&events(dir.path()));
    let rows: Vec<(u64, &str)> = values.iter().map(|(step, tag, _)| (*step, tag.as_str())).collect();
    let texts = (1, "notes/text_summary");
    assert_eq!(rows, [(0, "loss"), (1000, "loss"), (2000, "loss"), (7, "tensor"), (8, "bad"), texts]);
    assert_eq!(values[1].2.float(2), 0.25);
    assert_eq!(values[3].2.float(2), -3.25);
    assert!(values[4].2.float(2).is_nan());
    let text = &values[5].2;
    assert_eq!(text.message(9).message(1).text(1), "text");
    assert_eq!((text.message(8).int(1), text.message(8).text(8).as_str()), (7, "**bold** — ü"));
    for (tag, value) in [("a", 1.0), ("b", 2.0)] {
        let values = self::values(&events(&dir.path().join(format!("both_losses_{tag}"))));
        assert_eq!((values[0].0, values[0].1.as_str(), values[0].2.float(2)), (5, "both/losses", value));
    }
}

#[test]
fn histograms_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::new(dir.path()).unwrap();
    let x = Device::reference().scope(|| Tensor::from_slice(&[-1.0f32, 0.0, 0.25, 0.25, 8.0], &[5]));
    writer.add_histogram("x", &x, 3).unwrap();
    writer.add_image("ramp", &HostArray::new(&[1, 2, 2], vec![0.0f32, 0.5, 1.0, 2.0]), 4).unwrap();
    writer.add_images("sheet", &HostArray::new(&[10, 3, 2, 2], vec![7u8; 120]), 4).unwrap();
    assert!(writer.add_image("no", &HostArray::new(&[2, 2, 2], vec![0u8; 8]), 0).is_err());

    let values = values(&events(dir.path()));
    let h = values[0].2.message(5);
    assert_eq!([1, 2, 3, 4, 5].map(|n| h.double(n)), [-1.0, 8.0, 5.0, 7.5, 65.125]);
    let (limits, counts) = (h.doubles(6), h.doubles(7));
    assert!(limits.len() == counts.len() && counts.iter().sum::<f64>() == 5.0);
    assert!(limits.windows(2).all(|pair| pair[0] < pair[1]));
    let below = |x: f64| limits.iter().zip(&counts).filter(|(limit, _)| **limit <= x).map(|(_, n)| n).sum::<f64>();
    assert_eq!((below(-0.9), below(0.1), below(0.5), below(10.0)), (1.0, 2.0, 4.0, 5.0));
    for (i, (height, width)) in [(1, (2, 2)), (2, (4, 16))] {
        let image = values[i].2.message(4);
        assert_eq!((image.int(1), image.int(2), image.int(3)), (height, width, 3));
        assert!(image.bytes(4).starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}

#[test]
fn graphs() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::new(dir.path()).unwrap();
    Device::reference().scope(|| {
        let net = nn::Sequential::new().add(nn::Linear::new(4, 8)).add(nn::Tanh).add(nn::Linear::new(8, 2));
        writer.add_graph(&net, &Tensor::zeros(&[3, 4])).unwrap();
    });
    let events = events(dir.path());
    let nodes: BTreeMap<String, Message> =
        events[0].message(4).messages(1).into_iter().map(|node| (node.text(1), node)).collect();
    let inputs = |name: &str| {
        let fields = nodes[name].all(3).into_iter();
        let text = |field| if let Field::Bytes(bytes) = field { String::from_utf8(bytes).unwrap() } else { panic!() };
        fields.map(text).collect::<Vec<String>>()
    };
    let layer = |i: usize, name: &str| format!("Sequential/Linear[{i}]/{name}");
    assert_eq!(inputs(&layer(0, "linear")), ["input/0".to_string(), layer(0, "weight"), layer(0, "bias")]);
    assert_eq!(inputs("Sequential/Tanh[1]/tanh"), [layer(0, "linear")]);
    assert_eq!(inputs("output/0"), [layer(2, "linear")]);
    for name in nodes.keys().flat_map(|name| inputs(name)) {
        assert!(nodes.contains_key(&name), "an edge comes from {name}, which is not there");
    }
    let attrs = nodes[&layer(0, "linear")].messages(5);
    let shapes = attrs.iter().find(|entry| entry.text(1) == "_output_shapes").unwrap().message(2).message(1);
    let dims: Vec<u64> = shapes.message(7).messages(2).iter().map(|dim| dim.int(1)).collect();
    assert_eq!(dims, [3, 8]);
}

/// What the plugin's metadata hold: value and data.
fn hparams(values: &[(u64, String, Message)], tag: &str) -> Option<Message> {
    let (_, _, value) = values.iter().find(|(_, name, _)| name == tag)?;
    let plugin = value.message(9).message(1);
    assert_eq!(plugin.text(1), "hparams");
    Some(plugin.message(2))
}

#[test]
fn hyper_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::new(dir.path()).unwrap();
    let params = HParams::new().set("lr", 0.1).set("optimizer", "SGD").set("nesterov", true);
    writer.add_hparams(&params, &[("hparam/accuracy", 0.75)], "first").unwrap();
    let values = values(&events(&dir.path().join("first")));
    let experiment = hparams(&values, "_hparams_/experiment").unwrap().message(2);
    let infos: Vec<(String, u64)> = experiment.messages(4).iter().map(|info| (info.text(1), info.int(4))).collect();
    assert_eq!(infos, [("lr".into(), 3), ("nesterov".into(), 2), ("optimizer".into(), 1)]);
    assert_eq!(experiment.message(5).message(1).text(2), "hparam/accuracy");
    let start = hparams(&values, "_hparams_/session_start_info").unwrap().message(3);
    let entries: BTreeMap<String, Message> =
        start.messages(1).into_iter().map(|entry| (entry.text(1), entry.message(2))).collect();
    assert_eq!(entries["lr"].double(2), 0.1);
    assert_eq!(entries["optimizer"].text(3), "SGD");
    assert_eq!(entries["nesterov"].int(4), 1);
    assert_eq!(hparams(&values, "_hparams_/session_end_info").unwrap().message(4).int(1), 1);
    assert_eq!(values.last().unwrap().2.float(2), 0.75);
}

#[test]
fn a_file_that_was_cut_off_keeps_its_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::new(dir.path()).unwrap();
    (0..20).for_each(|step| writer.add_scalar("loss", step as f64, step).unwrap());
    let bytes = std::fs::read(&files(dir.path())[0]).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    (0..=bytes.len()).for_each(|cut| {
        seen.insert(parse(&bytes[..cut]).0.len());
    });
    assert_eq!(seen, (0..=21).collect());
}

#[derive(Module)]
struct Net {
    layer: nn::Linear,
}

impl LightningModule for Net {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let loss = self.layer.call(&batch["x"]).cross_entropy(&batch["y"]);
        log.log("train_loss", &loss);
        Ok(loss)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(SGD::new(self.parameters(), 0.1).into())
    }

    fn hparams(&self) -> HParams {
        HParams::new().set("lr", 0.1)
    }
}

#[test]
fn a_trainers_runs() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::new_reference(true);
    for version in 0..2 {
        let logger = TensorBoardLogger::new(dir.path(), "moons").unwrap();
        assert_eq!(logger.log_dir(), dir.path().join(format!("moons/version_{version}")));
        let data = DataLoader::new(synthetic::moons(64, 0.1, 0)).batch_size(16);
        let mut trainer = Trainer::new().device(&device).progress(false).max_epochs(2).log_every_n_steps(4);
        trainer = trainer.logger(logger);
        trainer.fit(&Net { layer: device.scope(|| nn::Linear::new(2, 2)) }, &data).unwrap();
    }
    let values = values(&events(&dir.path().join("moons/version_1")));
    let steps = |tag: &str| {
        let of_tag = values.iter().filter(|(_, name, _)| name == tag);
        of_tag.map(|(step, _, value)| (*step, value.float(2))).collect::<Vec<_>>()
    };
    let losses = steps("train_loss");
    assert_eq!(losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 4, 8]);
    assert!(losses[2].1 < losses[0].1);
    assert_eq!(steps("train_loss_epoch").iter().map(|(step, _)| *step).collect::<Vec<_>>(), [4, 8]);
    assert_eq!(steps("epoch").last().unwrap(), &(8, 1.0));
    // Without an experiment, TensorBoard takes all numbers of the run as its metrics.
    assert!(hparams(&values, "_hparams_/experiment").is_none());
    let start = hparams(&values, "_hparams_/session_start_info").unwrap().message(3);
    assert_eq!(start.message(1).text(1), "lr");
    assert_eq!(hparams(&values, "_hparams_/session_end_info").unwrap().message(4).int(1), 1);

    // What is there and can't be looked through is not taken for an empty folder.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = TensorBoardLogger::new(dir.path(), "file").err().expect("a file is no folder").to_string();
    assert!(error.starts_with(&format!("{}: ", file.display())), "{error}");

    // A run that goes on hides what came after its checkpoint.
    let at = dir.path().join("moons/version_1");
    let mut again = TensorBoardLogger::at(&at).unwrap();
    lumigrad::train::Logger::resume(&mut again, 5, u64::MAX).unwrap();
    assert_eq!(files(&at).len(), 2);
    let (events, _) = parse(&std::fs::read(&files(&at)[1]).unwrap());
    assert_eq!((events[1].int(2), events[1].message(7).int(1)), (6, 1));
}
