//! Whole programs on meganeura (Vulkan): an MLP, a CNN, matrix products, start-up, chains of additions.
//!
//! Needs `FASHION_MNIST=<folder of the four IDX .gz files>`. A graph is built and compiled once; there is no dropout.
//!
//! usage: meganeura-peer <w1|acc|w2|w3|w4|w5|mem> [batch or size] [steps]; TUNE=1 runs its search for matmul's tiles
use meganeura::{build, Graph, Mode, NodeId, Session, SessionConfig};
use std::io::Read;
use std::time::Instant;

fn cfg() -> SessionConfig<'static> {
    SessionConfig { tune: std::env::var("TUNE").is_ok(), ..Default::default() }
}

/// uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)) from a small LCG
fn init(s: &mut Session, name: &str, n: usize, fan_in: usize, seed: &mut u64) {
    let lim = 1.0 / (fan_in as f32).sqrt();
    let v: Vec<f32> = (0..n)
        .map(|_| {
            *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * lim
        })
        .collect();
    s.set_parameter(name, &v);
}

fn fc(g: &mut Graph, x: NodeId, name: &str, i: usize, o: usize) -> NodeId {
    let w = g.parameter(&format!("{name}w"), &[i, o]);
    let b = g.parameter(&format!("{name}b"), &[o]);
    let m = g.matmul(x, w);
    g.bias_add(m, b)
}

const MLP: [(&str, usize, usize); 3] = [("a", 784, 512), ("b", 512, 256), ("c", 256, 10)];

fn mlp_graph(b: usize, infer: bool) -> Graph {
    let mut g = Graph::new();
    let mut x = g.input("x", &[b, 784]);
    for (k, (n, i, o)) in MLP.iter().enumerate() {
        x = fc(&mut g, x, n, *i, *o);
        if k < 2 {
            x = g.relu(x);
        }
    }
    if !infer {
        let y = g.input("labels", &[b, 10]);
        x = g.cross_entropy_loss(x, y);
    }
    g.set_outputs(vec![x]);
    g
}

fn mlp(b: usize) -> Session {
    let mut s = build(&mlp_graph(b, false), cfg()).0;
    let mut seed = 42;
    for (n, i, o) in MLP {
        init(&mut s, &format!("{n}w"), i * o, i, &mut seed);
        init(&mut s, &format!("{n}b"), o, i, &mut seed);
    }
    s.set_adam(1e-3, 0.9, 0.999, 1e-8);
    s
}

fn cnn(b: usize) -> Session {
    let mut g = Graph::new();
    let bb = b as u32;
    let x = g.input("x", &[b * 784]);
    let k1 = g.parameter("k1", &[16 * 9]);
    let kb1 = g.parameter("kb1", &[16]);
    let k2 = g.parameter("k2", &[32 * 16 * 9]);
    let kb2 = g.parameter("kb2", &[32]);
    let x = g.conv2d(x, k1, bb, 1, 28, 28, 16, 3, 3, 1, 0);
    let x = g.add_per_channel(x, kb1, 16, 26 * 26);
    let x = g.relu(x);
    let x = g.conv2d(x, k2, bb, 16, 26, 26, 32, 3, 3, 1, 0);
    let x = g.add_per_channel(x, kb2, 32, 24 * 24);
    let x = g.relu(x);
    let x = g.max_pool_2d(x, bb, 32, 24, 24, 2, 2, 2, 0);
    let x = g.reshape(x, &[b, 4608]);
    let x = fc(&mut g, x, "l1", 4608, 64);
    let x = g.relu(x);
    let x = fc(&mut g, x, "l2", 64, 10);
    let y = g.input("labels", &[b, 10]);
    let l = g.cross_entropy_loss(x, y);
    g.set_outputs(vec![l]);
    let mut s = build(&g, cfg()).0;
    let mut seed = 42;
    for (n, len, fan) in [
        ("k1", 144, 9),
        ("kb1", 16, 9),
        ("k2", 4608, 144),
        ("kb2", 32, 144),
        ("l1w", 4608 * 64, 4608),
        ("l1b", 64, 4608),
        ("l2w", 640, 64),
        ("l2b", 10, 64),
    ] {
        init(&mut s, n, len, fan, &mut seed);
    }
    s.set_adam(1e-3, 0.9, 0.999, 1e-8);
    s
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
    hot: Vec<f32>,
    y: Vec<u8>,
}

fn load(stem: &str) -> Set {
    let dir = std::env::var("FASHION_MNIST").expect("set FASHION_MNIST to the folder of the IDX .gz files");
    let y = gz(&format!("{dir}/{stem}-labels-idx1-ubyte.gz"), 8);
    Set {
        x: gz(&format!("{dir}/{stem}-images-idx3-ubyte.gz"), 16).into_iter().map(|v| v as f32 / 255.0).collect(),
        hot: y.iter().flat_map(|l| (0..10).map(move |c| (c == *l) as u8 as f32)).collect(),
        y,
    }
}

fn steps(s: &mut Session, set: &Set, b: usize, from: usize, n: usize) -> f32 {
    let mut last = 0.0;
    for i in from..from + n {
        let o = (i * b) % (set.y.len() - b + 1);
        s.set_input("x", &set.x[o * 784..(o + b) * 784]);
        s.set_input("labels", &set.hot[o * 10..(o + b) * 10]);
        s.step();
        if (i + 1) % 100 == 0 || i + 1 == from + n {
            s.wait();
            last = s.read_loss();
        }
    }
    s.wait();
    last
}

fn rss(key: &str) -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let l = s.lines().find(|l| l.starts_with(key)).unwrap();
    l.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let num = |i: usize, or: usize| a.get(i).map(|s| s.parse().unwrap()).unwrap_or(or);
    let tag = format!("meganeura{} {}", if std::env::var("TUNE").is_ok() { " tuned" } else { "" }, a[1]);
    match a[1].as_str() {
        "w1" | "w2" => {
            let set = load("train");
            let one = a[1] == "w1";
            let b = num(2, if one { 64 } else { 32 });
            let n = num(3, if one { 300 } else { 100 });
            let warm = if one { 30 } else { 10 };
            let t = Instant::now();
            let mut s = if one { mlp(b) } else { cnn(b) };
            let built = t.elapsed().as_secs_f64();
            steps(&mut s, &set, b, 0, warm);
            let t = Instant::now();
            let l = steps(&mut s, &set, b, warm, n);
            println!(
                "{tag} batch {b}: {:.2} steps/s (build {built:.2}s) loss {l:.4} dispatches {} rss {:.0} peak {:.0}",
                n as f64 / t.elapsed().as_secs_f64(),
                s.plan().dispatches.len(),
                rss("VmRSS"),
                rss("VmHWM")
            );
        }
        "mem" => {
            let set = load("train");
            let mut s = mlp(64);
            let mut at = 0;
            for n in [100, 475, 475, 475, 475] {
                let t = Instant::now();
                steps(&mut s, &set, 64, at, n);
                at += n;
                println!(
                    "{tag} step {at}: rss {:.1} MB, {:.2} steps/s",
                    rss("VmRSS"),
                    n as f64 / t.elapsed().as_secs_f64()
                );
            }
        }
        "acc" => {
            let set = load("train");
            let mut s = mlp(64);
            let t = Instant::now();
            let l = steps(&mut s, &set, 64, 0, 937);
            let sec = t.elapsed().as_secs_f64();
            let test = load("t10k");
            let mut e = build(&mlp_graph(1000, true), SessionConfig { mode: Mode::Inference, ..Default::default() }).0;
            for (n, i, o) in MLP {
                for (p, len) in [(format!("{n}w"), i * o), (format!("{n}b"), o)] {
                    let mut v = vec![0f32; len];
                    s.read_param(&p, &mut v);
                    e.set_parameter(&p, &v);
                }
            }
            let mut ok = 0;
            for k in 0..10 {
                e.set_input("x", &test.x[k * 784000..(k + 1) * 784000]);
                e.step();
                e.wait();
                let out = e.read_output(10000);
                for r in 0..1000 {
                    let row = &out[r * 10..r * 10 + 10];
                    let p = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
                    ok += (p == test.y[k * 1000 + r] as usize) as usize;
                }
            }
            println!("{tag}: 1 epoch {sec:.1}s loss {l:.4} test accuracy {:.2}%", ok as f64 / 100.0);
        }
        "w3" => {
            // a static graph of 8 dependent products, stepped several times
            let n = num(2, 512);
            let chain = 8;
            let it = num(3, (1_000_000_000 / (n * n * n)).max(4));
            let mut g = Graph::new();
            let m = g.input("m", &[n, n]);
            let mut c = g.input("c", &[n, n]);
            for _ in 0..chain {
                c = g.matmul(m, c);
            }
            g.set_outputs(vec![c]);
            let mut s = build(&g, SessionConfig { mode: Mode::Inference, ..cfg() }).0;
            let lim = (3.0 / n as f32).sqrt();
            let mut z = 7u64;
            let mut rnd = |k: f32| -> Vec<f32> {
                (0..n * n)
                    .map(|_| {
                        z = z.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        ((z >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * k
                    })
                    .collect()
            };
            s.set_input("m", &rnd(lim));
            s.set_input("c", &rnd(1.0));
            s.step();
            s.wait();
            let t = Instant::now();
            for _ in 0..it {
                s.step();
            }
            s.wait();
            let sec = t.elapsed().as_secs_f64();
            let out = s.read_output(n * n);
            let ms: f32 = out.iter().map(|v| v * v).sum::<f32>() / (n * n) as f32;
            println!(
                "{tag} n {n}: {:.2} GFLOP/s ({} products {sec:.2}s) ms {ms:.3e}",
                2.0 * (n as f64).powi(3) * (it * chain) as f64 / sec / 1e9,
                it * chain
            );
        }
        "w4" => {
            let mut s = mlp(64);
            s.set_input("x", &vec![0.5; 64 * 784]);
            let hot: Vec<f32> = (0..640).map(|i| (i % 10 == 3) as u8 as f32).collect();
            s.set_input("labels", &hot);
            s.step();
            s.wait();
            let l = s.read_loss();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
            let t0: f64 = std::env::var("BENCH_T0").expect("BENCH_T0=$(date +%s.%N)").parse().unwrap();
            println!("{tag}: first step after {:.3}s loss {l:.3} peak rss {:.0} MB", now - t0, rss("VmHWM"));
        }
        "w5" => {
            // one compiled graph of 1000 adds: the rewrites may merge them, so the dispatch count is printed
            let n = num(2, 1);
            let mut g = Graph::new();
            let y = g.input("y", &[n]);
            let mut x = g.input("x", &[n]);
            for _ in 0..1000 {
                x = g.add(x, y);
            }
            g.set_outputs(vec![x]);
            let t = Instant::now();
            let mut s = build(&g, SessionConfig { mode: Mode::Inference, ..cfg() }).0;
            let built = t.elapsed().as_secs_f64();
            s.set_input("x", &vec![0.0; n]);
            s.set_input("y", &vec![1.0; n]);
            let mut out = vec![];
            for r in 0..8 {
                let t = Instant::now();
                s.step();
                s.wait();
                if r >= 3 {
                    out.push(t.elapsed().as_secs_f64() * 1e3);
                }
            }
            out.sort_by(|a, b| a.total_cmp(b));
            println!(
                "{tag} n {n}: {:.2} us/op median of 5 (min {:.2} max {:.2}) dispatches {} build {built:.2}s value {}",
                out[2],
                out[0],
                out[4],
                s.plan().dispatches.len(),
                s.read_output(n)[0]
            );
        }
        w => panic!("workload {w}"),
    }
}
