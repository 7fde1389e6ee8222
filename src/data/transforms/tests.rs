use super::color::{Adjust, adjust};
use super::warp::{Motion, Warp};
use super::*;
use crate::data::{ArrayDataset, DataLoader, Dataset};
use safetensors::{Dtype, SafeTensors};

/// torchvision's results; `tests/goldens/record/transforms.py` recorded them.
struct Recorded(Vec<u8>);

impl Recorded {
    fn read() -> Recorded {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/data/transforms.safetensors");
        Recorded(std::fs::read(path).unwrap())
    }

    fn get(&self, name: &str) -> HostArray {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        match view.dtype() {
            Dtype::U8 => HostArray::new(view.shape(), view.data().to_vec()),
            _ => HostArray::new(view.shape(), bytemuck::pod_collect_to_vec::<u8, f32>(view.data())),
        }
    }

    /// The largest difference of what `change` makes of the pictures from torchvision's; in bytes or in shares of white.
    fn check(&self, name: &str, bytes: f32, floats: f32, change: impl Fn(&mut HostArray)) {
        for kind in ["rgb", "grey", "floats"] {
            let (mut got, want) = (self.get(kind), self.get(&format!("{name}.{kind}")));
            change(&mut got);
            assert_eq!((got.shape(), got.kind()), (want.shape(), want.kind()), "{name}.{kind}");
            let all = |a: &HostArray| match a.data() {
                HostData::U8(v) => v.iter().map(|&b| f32::from(b)).collect(),
                HostData::F32(v) => v.clone(),
                HostData::I32(_) => unreachable!("no integers here"),
            };
            let worst = all(&got).iter().zip(all(&want)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let allowed = if kind == "floats" { floats } else { bytes };
            assert!(worst <= allowed, "{name}.{kind} is off by {worst}\n{got:?}\n{want:?}");
        }
    }

    fn transform(&self, name: &str, bytes: f32, floats: f32, transform: impl Transform) {
        self.check(name, bytes, floats, |array| {
            let field = Field::new("x", array.shape(), array.kind());
            let said = transform.output(&field).unwrap();
            transform.apply(array, &mut Scratch::new(0)).unwrap();
            assert_eq!((array.shape(), array.kind()), (&said.shape[..], said.kind), "{name}: what `output` says");
        });
    }
}

#[test]
fn crops_borders_and_flips_are_torchvisions() {
    let recorded = Recorded::read();
    recorded.transform("center_crop_5_4", 0.0, 0.0, CenterCrop::new((5, 4)));
    recorded.transform("center_crop_20_9", 0.0, 0.0, CenterCrop::new((20, 9)));
    recorded.transform("pad_1_2_3_4", 0.0, 0.0, Pad::sides(1, 2, 3, 4));
    recorded.transform("flip", 0.0, 0.0, RandomHorizontalFlip::with(1.0));
    recorded.transform("flop", 0.0, 0.0, RandomVerticalFlip::with(1.0));
}

#[test]
fn sizes_are_torchvisions() {
    let recorded = Recorded::read();
    // Both compute bytes with fixed-point weights of different widths.
    recorded.transform("resize_5_20", 1.0, 1e-6, Resize::new((5, 20)));
    recorded.transform("resize_30_6", 1.0, 1e-6, Resize::new((30, 6)));
    recorded.transform("shorter_6", 1.0, 1e-6, Resize::shorter(6));
}

#[test]
fn colours_are_torchvisions() {
    let recorded = Recorded::read();
    let check = |name: &str, how: Adjust| {
        // A byte is cut off, so a product that is whole but for rounding may fall to either side.
        recorded.check(name, 1.0, 2e-6, |array| {
            let shape = image_shape("test", array.shape()).unwrap();
            adjust(how, array, shape);
        });
    };
    check("brightness_1.7", Adjust::Brightness(1.7));
    check("contrast_0.4", Adjust::Contrast(0.4));
    check("contrast_1.6", Adjust::Contrast(1.6));
    check("saturation_0.3", Adjust::Saturation(0.3));
    check("saturation_1.9", Adjust::Saturation(1.9));
    check("hue_0.2", Adjust::Hue(0.2));
    check("hue_-0.4", Adjust::Hue(-0.4));
    for kind in ["rgb", "floats"] {
        let (mut got, want) = (recorded.get(kind), recorded.get(&format!("grayscale.{kind}")));
        Grayscale::new(1).apply(&mut got, &mut Scratch::new(0)).unwrap();
        assert_eq!(got.shape(), want.shape());
        match (got.data(), want.data()) {
            (HostData::U8(a), HostData::U8(b)) => assert!(a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1)),
            (HostData::F32(a), HostData::F32(b)) => assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)),
            _ => panic!("the kind changed"),
        }
    }
}

#[test]
fn turned_images_are_torchvisions() {
    let recorded = Recorded::read();
    let motions = [
        ("rotate_33", Motion { angle: -33.0, ..Motion::default() }),
        ("affine", Motion { angle: -21.0, translate: (2.0, -1.0), scale: 1.3, shear: 11.0 }),
    ];
    for (name, motion) in motions {
        for (mode, interpolation) in [("nearest", Interpolation::Nearest), ("bilinear", Interpolation::Bilinear)] {
            recorded.check(&format!("{name}_{mode}"), 1.0, 2e-5, |array| {
                let image = image_shape("test", array.shape()).unwrap();
                let warp = Warp { image, matrix: motion.inverse(), interpolation, fill: 0.0 };
                Scratch::new(0).remake(array, &image, &warp).unwrap();
            });
        }
    }
}

fn pictures() -> ArrayDataset {
    let pixels: Vec<u8> = (0..4 * 3 * 6 * 5).map(|i| (i * 37 % 256) as u8).collect();
    let labels = HostArray::new(&[4], vec![0, 1, 2, 3]);
    ArrayDataset::new([("images", HostArray::new(&[4, 3, 6, 5], pixels)), ("labels", labels)])
}

fn augment() -> Compose {
    Compose::new()
        .add(RandomCrop::new((4, 4)).padding(1))
        .add(RandomHorizontalFlip::new())
        .add(RandomAffine::new(20.0).translate(0.1, 0.1).scale(0.8, 1.2).shear(5.0))
        .add(RandomRotation::new(10.0).interpolation(Interpolation::Bilinear))
        .add(ColorJitter::new().brightness(0.3).contrast(0.3).saturation(0.3).hue(0.1))
        .add(ToTensor)
        .add(Normalize::new(&[0.4, 0.5, 0.6], &[0.2, 0.3, 0.4]))
}

#[test]
fn draws_are_a_function_of_seed_epoch_and_sample() {
    let all = |workers, seed, epoch| {
        let data = pictures().transform("images", augment()).unwrap();
        assert_eq!(data.fields()[0], Field::new("images", &[3, 4, 4], Kind::F32));
        let loader = DataLoader::new(data).batch_size(3).seed(seed).num_workers(workers);
        loader.epoch(epoch).flat_map(|b| b.unwrap()["images"].as_slice::<f32>().unwrap().to_vec()).collect::<Vec<f32>>()
    };
    let base = all(0, 7, 0);
    assert_eq!(base.len(), 4 * 3 * 16);
    assert_eq!(all(3, 7, 0), base);
    assert_ne!(all(0, 7, 1), base);
    assert_ne!(all(0, 8, 0), base);
}

#[test]
fn bytes_are_normalised_as_floats_are() {
    let normalise = || Normalize::new(&[0.1307, 0.2, 0.3], &[0.3081, 0.4, 0.5]);
    let short = pictures().transform("images", normalise()).unwrap();
    let long = pictures().transform("images", Compose::new().add(ToTensor).add(normalise())).unwrap();
    for i in 0..4 {
        let (a, b) = (short.get(i).unwrap(), long.get(i).unwrap());
        assert_eq!(a, b);
        let pixel = pictures().arrays()[0].as_slice::<u8>().unwrap()[i * 90];
        assert_eq!(a[0].as_slice::<f32>().unwrap()[0], (f32::from(pixel) / 255.0 - 0.1307) / 0.3081);
    }
}

#[test]
fn random_crops_reach_every_place() {
    let crop = RandomCrop::new((4, 4)).padding(1);
    let mut seen = std::collections::HashSet::new();
    for seed in 0..500 {
        let mut image = HostArray::new(&[1, 6, 5], (1..=30).collect::<Vec<u8>>());
        crop.apply(&mut image, &mut Scratch::new(seed)).unwrap();
        seen.insert(image.as_slice::<u8>().unwrap().to_vec());
    }
    assert_eq!(seen.len(), 5 * 4);
}

#[test]
fn what_does_not_fit_is_refused() {
    let fail = |transform: &dyn Transform, shape: &[usize], kind| {
        transform.output(&Field::new("x", shape, kind)).unwrap_err().to_string()
    };
    assert!(fail(&RandomCrop::new(32).padding(1), &[1, 28, 28], Kind::U8).contains("28×28"));
    assert!(fail(&CenterCrop::new(3), &[28, 28], Kind::U8).contains("[channels, height, width]"));
    assert!(fail(&ToTensor, &[], Kind::I32).contains("i32"));
    assert!(fail(&ColorJitter::new(), &[2, 8, 8], Kind::U8).contains("expected 1 or 3"));
    assert!(fail(&Normalize::new(&[0.1, 0.2], &[1.0, 1.0]), &[3, 8, 8], Kind::U8).contains("2 means"));
    assert!(fail(&Resize::new(0), &[3, 8, 8], Kind::U8).contains("can't become"));
    let e = pictures().transform("image", ToTensor).err().unwrap().to_string();
    assert!(e.contains("\"image\"") && e.contains("\"images\""), "{e}");
    let grow = Lambda::new(|array, _| {
        array.resize(&[1]);
        Ok(())
    });
    let e = pictures().transform("images", grow).unwrap().get(0).unwrap_err().to_string();
    assert!(e.contains("[1]") && e.contains("[3, 6, 5]"), "{e}");
}
