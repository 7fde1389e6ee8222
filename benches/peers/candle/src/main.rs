//! Whole programs on candle: an MLP, a CNN, matrix products, start-up, chains of additions.
//!
//! Needs `FASHION_MNIST=<folder of the four IDX .gz files>`.
//!
//! usage: candle-peer <w1|acc|w2|w3|w4|w5|mem> [batch or size] [steps]
use candle_core::{DType, Device, Result, Tensor, D};
use candle_nn::{
    conv2d, linear, loss, ops, AdamW, Conv2d, Dropout, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap,
};
use std::io::Read;
use std::time::Instant;

struct Mlp(Linear, Linear, Linear);
impl Mlp {
    fn new(v: VarBuilder) -> Result<Self> {
        Ok(Self(linear(784, 512, v.pp("a"))?, linear(512, 256, v.pp("b"))?, linear(256, 10, v.pp("c"))?))
    }
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.2.forward(&self.1.forward(&self.0.forward(x)?.relu()?)?.relu()?)
    }
}

struct Cnn(Conv2d, Conv2d, Linear, Linear, Dropout, Dropout);
impl Cnn {
    fn new(v: VarBuilder) -> Result<Self> {
        let c = Default::default();
        Ok(Self(
            conv2d(1, 16, 3, c, v.pp("c1"))?,
            conv2d(16, 32, 3, c, v.pp("c2"))?,
            linear(4608, 64, v.pp("l1"))?,
            linear(64, 10, v.pp("l2"))?,
            Dropout::new(0.1),
            Dropout::new(0.25),
        ))
    }
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.0.forward(x)?.relu()?;
        let x = self.1.forward(&x)?.relu()?.max_pool2d(2)?;
        let x = self.4.forward(&x, true)?.flatten_from(1)?;
        let x = self.5.forward(&self.2.forward(&x)?.relu()?, true)?;
        ops::log_softmax(&self.3.forward(&x)?, D::Minus1)
    }
}

fn gz(path: &str, head: usize) -> Vec<u8> {
    let f = std::fs::File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(f).read_to_end(&mut out).unwrap();
    out.drain(..head);
    out
}

struct Set {
    x: Vec<f32>,
    y: Vec<u32>,
}

fn load(stem: &str) -> Set {
    let dir = std::env::var("FASHION_MNIST").expect("set FASHION_MNIST to the folder of the IDX .gz files");
    Set {
        x: gz(&format!("{dir}/{stem}-images-idx3-ubyte.gz"), 16).into_iter().map(|v| v as f32 / 255.0).collect(),
        y: gz(&format!("{dir}/{stem}-labels-idx1-ubyte.gz"), 8).into_iter().map(|v| v as u32).collect(),
    }
}

impl Set {
    fn batch(&self, i: usize, b: usize) -> Result<(Tensor, Tensor)> {
        let s = (i * b) % (self.y.len() - b + 1);
        Ok((
            Tensor::from_slice(&self.x[s * 784..(s + b) * 784], (b, 784), &Device::Cpu)?,
            Tensor::from_slice(&self.y[s..s + b], b, &Device::Cpu)?,
        ))
    }
}

fn rss(key: &str) -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let l = s.lines().find(|l| l.starts_with(key)).unwrap();
    l.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() -> Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let num = |i: usize, or: usize| a.get(i).map(|s| s.parse().unwrap()).unwrap_or(or);
    let tag = format!("candle cpu {}", a[1]);
    let dev = Device::Cpu;
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &dev);
    let adam =
        |map: &VarMap| AdamW::new(map.all_vars(), ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() });
    match a[1].as_str() {
        "w1" | "acc" | "mem" => {
            let set = load("train");
            let b = num(2, 64);
            let m = Mlp::new(vb)?;
            let mut opt = adam(&map)?;
            let mut run = |from: usize, n: usize| -> Result<f32> {
                let mut last = 0.0;
                for i in from..from + n {
                    let (x, y) = set.batch(i, b)?;
                    let l = loss::cross_entropy(&m.forward(&x)?, &y)?;
                    opt.backward_step(&l)?;
                    if (i + 1) % 100 == 0 || i + 1 == from + n {
                        last = l.to_scalar::<f32>()?;
                    }
                }
                Ok(last)
            };
            match a[1].as_str() {
                "w1" => {
                    let n = num(3, 300);
                    run(0, 30)?;
                    let t = Instant::now();
                    let l = run(30, n)?;
                    println!(
                        "{tag} batch {b}: {:.2} steps/s loss {l:.4} rss {:.0} peak {:.0}",
                        n as f64 / t.elapsed().as_secs_f64(),
                        rss("VmRSS"),
                        rss("VmHWM")
                    );
                }
                "mem" => {
                    let mut at = 0;
                    for n in [100, 475, 475, 475, 475] {
                        let t = Instant::now();
                        run(at, n)?;
                        at += n;
                        println!(
                            "{tag} step {at}: rss {:.1} MB, {:.2} steps/s",
                            rss("VmRSS"),
                            n as f64 / t.elapsed().as_secs_f64()
                        );
                    }
                }
                _ => {
                    let t = Instant::now();
                    let l = run(0, 937)?;
                    let s = t.elapsed().as_secs_f64();
                    let test = load("t10k");
                    let x = Tensor::from_slice(&test.x, (10000, 784), &dev)?;
                    let y = Tensor::from_slice(&test.y, 10000, &dev)?;
                    let acc =
                        m.forward(&x)?.argmax(1)?.eq(&y)?.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()? * 100.0;
                    println!("{tag}: 1 epoch {s:.1}s loss {l:.4} test accuracy {acc:.2}%");
                }
            }
        }
        "w2" => {
            let set = load("train");
            let b = num(2, 32);
            let n = num(3, 100);
            let m = Cnn::new(vb)?;
            let mut opt = adam(&map)?;
            let mut run = |from: usize, n: usize| -> Result<f32> {
                let mut last = 0.0;
                for i in from..from + n {
                    let (x, y) = set.batch(i, b)?;
                    let l = loss::nll(&m.forward(&x.reshape((b, 1, 28, 28))?)?, &y)?;
                    opt.backward_step(&l)?;
                    if i + 1 == from + n {
                        last = l.to_scalar::<f32>()?;
                    }
                }
                Ok(last)
            };
            run(0, 10)?;
            let t = Instant::now();
            let l = run(10, n)?;
            println!(
                "{tag} batch {b} (Adam): {:.2} steps/s loss {l:.4} rss {:.0} peak {:.0}",
                n as f64 / t.elapsed().as_secs_f64(),
                rss("VmRSS"),
                rss("VmHWM")
            );
        }
        "w3" => {
            let n = num(2, 512);
            let it = num(3, (20_000_000_000 / (n * n * n)).max(20));
            let lim = (3.0f32 / n as f32).sqrt();
            let m = Tensor::rand(-lim, lim, (n, n), &dev)?;
            let mut c = Tensor::rand(-1f32, 1f32, (n, n), &dev)?;
            for _ in 0..4 {
                c = m.matmul(&c)?;
            }
            let t = Instant::now();
            for _ in 0..it {
                c = m.matmul(&c)?;
            }
            let s = t.elapsed().as_secs_f64();
            let ms = c.sqr()?.mean_all()?.to_scalar::<f32>()?;
            println!(
                "{tag} n {n}: {:.2} GFLOP/s ({it} products {s:.2}s) ms {ms:.3e}",
                2.0 * (n as f64).powi(3) * it as f64 / s / 1e9
            );
        }
        "w4" => {
            let m = Mlp::new(vb)?;
            let mut opt = adam(&map)?;
            let x = Tensor::full(0.5f32, (64, 784), &dev)?;
            let y = Tensor::full(3u32, 64, &dev)?;
            let l = loss::cross_entropy(&m.forward(&x)?, &y)?;
            opt.backward_step(&l)?;
            let l = l.to_scalar::<f32>()?;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
            let t0: f64 = std::env::var("BENCH_T0").expect("BENCH_T0=$(date +%s.%N)").parse().unwrap();
            println!("{tag}: first step after {:.3}s loss {l:.3} peak rss {:.0} MB", now - t0, rss("VmHWM"));
        }
        "w5" => {
            let n = num(2, 1);
            let y = Tensor::ones(n, DType::F32, &dev)?;
            let mut x = Tensor::zeros(n, DType::F32, &dev)?;
            let mut out = vec![];
            for r in 0..8 {
                let t = Instant::now();
                for _ in 0..1000 {
                    x = (&x + &y)?;
                }
                if r >= 3 {
                    out.push(t.elapsed().as_secs_f64() * 1e3);
                }
            }
            out.sort_by(|a, b| a.total_cmp(b));
            println!(
                "{tag} n {n}: {:.2} us/op median of 5 (min {:.2} max {:.2}) value {}",
                out[2],
                out[0],
                out[4],
                x.to_vec1::<f32>()?[0]
            );
        }
        w => panic!("workload {w}"),
    }
    Ok(())
}
