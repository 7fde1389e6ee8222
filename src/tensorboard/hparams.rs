//! What TensorBoard's tab for hyper-parameters reads.

use prost::Message;

use super::proto::{
    Content, Experiment, HParamInfo, HParamsData, HParamsPluginData, JsonKind, JsonValue, Metadata, MetricInfo,
    MetricName, PluginData, SessionEnd, SessionStart, Summary, TensorProto, Value, What,
};
use super::record::now;
use crate::train::{HParam, HParams};

/// Names and types of hyper-parameters, and names of metrics.
pub(super) fn experiment(hparams: &HParams, metrics: &[(&str, f64)]) -> What {
    let info = |(name, value): (&str, &HParam)| {
        let kind = match value {
            HParam::Text(_) => 1,
            HParam::Bool(_) => 2,
            HParam::Number(_) => 3,
        };
        HParamInfo { name: name.into(), kind }
    };
    let metric = |(tag, _): &(&str, f64)| MetricInfo { name: Some(MetricName { tag: tag.to_string() }) };
    let experiment = Experiment {
        hparam_infos: hparams.iter().map(info).collect(),
        metric_infos: metrics.iter().map(metric).collect(),
    };
    event("_hparams_/experiment", HParamsData::Experiment(experiment))
}

/// The values of hyper-parameters. Without an [`experiment`] every scalar of the run is a metric of it.
pub(super) fn session_start(hparams: &HParams) -> What {
    let value = |value: &HParam| {
        let kind = match value {
            HParam::Number(x) => JsonKind::Number(*x),
            HParam::Text(x) => JsonKind::Text(x.clone()),
            HParam::Bool(x) => JsonKind::Bool(*x),
        };
        JsonValue { kind: Some(kind) }
    };
    let hparams = hparams.iter().map(|(name, x)| (name.to_string(), value(x))).collect();
    let start = SessionStart { hparams, start_time_secs: now() };
    event("_hparams_/session_start_info", HParamsData::SessionStart(start))
}

/// How it ended.
pub(super) fn session_end(success: bool) -> What {
    let end = SessionEnd { status: if success { 1 } else { 2 }, end_time_secs: now() };
    event("_hparams_/session_end_info", HParamsData::SessionEnd(end))
}

fn event(tag: &str, data: HParamsData) -> What {
    let content = HParamsPluginData { version: 0, data: Some(data) }.encode_to_vec();
    let metadata = Metadata { plugin_data: Some(PluginData { plugin_name: "hparams".into(), content }) };
    let content = Some(Content::Tensor(TensorProto::empty()));
    What::Summary(Summary { value: vec![Value { tag: tag.into(), metadata: Some(metadata), content }] })
}
