//! Where the well-known data sets are, with the MD5 sums that torchvision or their home pages name.

use super::{Downloader, Resource};
use crate::Result;
use crate::data::{Cifar, Mnist, Split};

/// A data set of gzipped IDX files.
struct Idx {
    /// Its folder in the cache.
    folder: &'static str,
    mirrors: &'static [&'static str],
    /// The sums of images and labels, first of the training's, then of the test's.
    md5: [[&'static str; 2]; 2],
}

const MNIST: Idx = Idx {
    folder: "mnist",
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ],
    md5: [
        ["f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"],
        ["9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"],
    ],
};

const FASHION: Idx = Idx {
    folder: "fashion-mnist",
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    md5: [
        ["8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"],
        ["bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"],
    ],
};

const KMNIST: Idx = Idx {
    folder: "kmnist",
    mirrors: &["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
    md5: [
        ["bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"],
        ["5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"],
    ],
};

impl Idx {
    /// Images and labels of a split.
    fn resources(&self, split: Split) -> [Resource; 2] {
        let (prefix, md5) = match split {
            Split::Train => ("train", self.md5[0]),
            Split::Test => ("t10k", self.md5[1]),
        };
        let names = ["images-idx3", "labels-idx1"].map(|what| format!("{prefix}-{what}-ubyte.gz"));
        let urls = |name: &str| self.mirrors.iter().map(|mirror| format!("{mirror}{name}")).collect();
        let [images, labels] = names;
        [(images, md5[0]), (labels, md5[1])].map(|(name, md5)| Resource {
            urls: urls(&name),
            name,
            md5: md5.to_string(),
        })
    }

    fn load(&self, downloader: &Downloader, split: Split) -> Result<Mnist> {
        for resource in self.resources(split) {
            downloader.fetch(&resource)?;
        }
        Mnist::load(downloader.dir(), split)
    }

    fn cached(&self, split: Split) -> Result<Mnist> {
        self.load(&Downloader::cached(self.folder)?, split)
    }
}

/// MNIST and its relatives from the network.
impl Mnist {
    /// MNIST, 60,000 and 10,000 handwritten digits (LeCun, Cortes, Burges), fetched into the cache unless it is there:
    /// see [`Downloader::cached`].
    ///
    /// ```no_run
    /// use lumigrad::data::{Mnist, Split};
    /// let digits = Mnist::download(Split::Train)?;
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download(split: Split) -> Result<Mnist> {
        MNIST.cached(split)
    }

    /// [`Mnist::download`] by this downloader, into its folder.
    ///
    /// ```no_run
    /// use lumigrad::data::{Mnist, Split, download::Downloader};
    /// let digits = Mnist::download_with(&Downloader::new("data/mnist").attempts(10), Split::Train)?;
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download_with(downloader: &Downloader, split: Split) -> Result<Mnist> {
        MNIST.load(downloader, split)
    }

    /// Fashion-MNIST, as many pictures of clothes in ten classes (Xiao, Rasul, Vollgraf, 2017), fetched into the cache
    /// unless it is there. <https://github.com/zalandoresearch/fashion-mnist>
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download_fashion(split: Split) -> Result<Mnist> {
        FASHION.cached(split)
    }

    /// [`Mnist::download_fashion`] by this downloader, into its folder.
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download_fashion_with(downloader: &Downloader, split: Split) -> Result<Mnist> {
        FASHION.load(downloader, split)
    }

    /// KMNIST, as many cursive Japanese characters in ten classes (Clanuwat and others, 2018), fetched into the cache
    /// unless it is there. <http://codh.rois.ac.jp/kmnist>
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download_kmnist(split: Split) -> Result<Mnist> {
        KMNIST.cached(split)
    }

    /// [`Mnist::download_kmnist`] by this downloader, into its folder.
    ///
    /// # Errors
    /// As [`Downloader::fetch`] and [`Mnist::load`].
    pub fn download_kmnist_with(downloader: &Downloader, split: Split) -> Result<Mnist> {
        KMNIST.load(downloader, split)
    }
}

/// CIFAR's binary form, and the folder in its archive.
struct Binary {
    name: &'static str,
    md5: &'static str,
    folder: &'static str,
}

const CIFAR10: Binary =
    Binary { name: "cifar-10-binary.tar.gz", md5: "c32a1d4ab5d03f1284b67883e8d87530", folder: "cifar-10-batches-bin" };

const CIFAR100: Binary =
    Binary { name: "cifar-100-binary.tar.gz", md5: "03b5dce01913d631647c71ecec9e9cb8", folder: "cifar-100-binary" };

const CIFAR_MIRRORS: [&str; 2] = ["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"];

impl Binary {
    fn fetch(&self, downloader: &Downloader) -> Result<()> {
        let urls = CIFAR_MIRRORS.iter().map(|mirror| format!("{mirror}{}", self.name)).collect();
        let resource = Resource { name: self.name.into(), urls, md5: self.md5.into() };
        downloader.fetch_archive(&resource, self.folder).map(|_| ())
    }
}

/// CIFAR from the network: archives of 170 MB.
impl Cifar {
    /// CIFAR-10, fetched into the cache unless it is there: see [`Downloader::cached`].
    ///
    /// ```no_run
    /// use lumigrad::data::{Cifar, Split};
    /// let photographs = Cifar::download_10(Split::Train)?;
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Downloader::fetch_archive`] and [`Cifar::load_10`].
    pub fn download_10(split: Split) -> Result<Cifar> {
        Self::download_10_with(&Downloader::cached("cifar")?, split)
    }

    /// [`Cifar::download_10`] by this downloader, into its folder.
    ///
    /// # Errors
    /// As [`Downloader::fetch_archive`] and [`Cifar::load_10`].
    pub fn download_10_with(downloader: &Downloader, split: Split) -> Result<Cifar> {
        CIFAR10.fetch(downloader)?;
        Self::load_10(downloader.dir(), split)
    }

    /// CIFAR-100, fetched into the cache unless it is there.
    ///
    /// # Errors
    /// As [`Downloader::fetch_archive`] and [`Cifar::load_100`].
    pub fn download_100(split: Split) -> Result<Cifar> {
        Self::download_100_with(&Downloader::cached("cifar")?, split)
    }

    /// [`Cifar::download_100`] by this downloader, into its folder.
    ///
    /// # Errors
    /// As [`Downloader::fetch_archive`] and [`Cifar::load_100`].
    pub fn download_100_with(downloader: &Downloader, split: Split) -> Result<Cifar> {
        CIFAR100.fetch(downloader)?;
        Self::load_100(downloader.dir(), split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use std::path::Path;

    /// The bundled digits are there already; nothing may be fetched.
    #[test]
    fn what_is_there_is_loaded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist-10k");
        let sum = |name: &str| super::super::part::md5(&mut std::fs::File::open(folder.join(name)).unwrap()).unwrap();
        let sums = ["images-idx3", "labels-idx1"].map(|what| sum(&format!("t10k-{what}-ubyte.gz")));
        let [images, labels] = [&*sums[0].clone().leak(), &*sums[1].clone().leak()];
        let bundled = Idx { folder: "", mirrors: &["http://127.0.0.1:1/"], md5: [["", ""], [images, labels]] };
        let offline = Downloader::new(&folder).offline(true);
        assert_eq!(bundled.load(&offline, Split::Test).unwrap().labels().len(), 2000);
        // Another sum: the file is named, and stays.
        let e = bundled.load(&offline, Split::Train).unwrap_err();
        assert!(matches!(e, Error::Download { .. }));
        let e = e.to_string();
        for part in ["train-images-idx3-ubyte.gz has the MD5 sum", "offline", "from http://127.0.0.1:1/train-images"] {
            assert!(e.contains(part), "{e}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let offline = Downloader::new(dir.path().join("none")).offline(true);
        let e = Mnist::download_with(&offline, Split::Test).unwrap_err().to_string();
        let place = dir.path().join("none/t10k-images-idx3-ubyte.gz").display().to_string();
        assert!(e.contains(&place) && e.contains("is missing") && e.contains("ossci-datasets"), "{e}");
        let e = Cifar::download_100_with(&offline, Split::Test).unwrap_err().to_string();
        assert!(e.contains("cifar-100-binary.tar.gz is missing"), "{e}");
        assert!(!dir.path().join("none").exists(), "nothing is made for an error");
    }

    #[test]
    fn every_sum_is_one() {
        for set in [&MNIST, &FASHION, &KMNIST] {
            let resources = [Split::Train, Split::Test].map(|split| set.resources(split)).concat();
            assert_eq!(resources.len(), 4);
            assert!(resources.iter().all(|r| r.md5.len() == 32 && r.urls.iter().all(|url| url.ends_with(&r.name))));
        }
        assert!(CIFAR10.md5.len() == 32 && CIFAR100.md5.len() == 32);
    }
}
