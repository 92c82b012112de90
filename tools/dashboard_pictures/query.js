// Asks Prometheus what a panel asks, and answers with the data frames that Grafana's data source would make of it.
import { FieldType, MutableDataFrame } from '@grafana/data';

const PROMETHEUS = new URLSearchParams(location.search).get('prometheus');

export function filled(expr, variables) {
  return Object.entries(variables)
    .sort(([a], [b]) => b.length - a.length)
    .reduce((text, [name, value]) => text.replaceAll(`$${name}`, value), expr);
}

async function ask(path, parameters) {
  const answer = await fetch(`${PROMETHEUS}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const said = await answer.json();
  if (said.status !== 'success') {
    throw new Error(`${parameters.query}: ${said.error}`);
  }
  return said.data.result;
}

function legend(template, labels) {
  if (template === '__auto') {
    return JSON.stringify(labels);
  }
  return template.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '').trim();
}

// Prometheus leaves a gap out; Grafana draws one only where there is an empty value.
function withGaps(values, range) {
  const byTime = new Map(values.map(([time, value]) => [Math.round(time / range.step), Number(value)]));
  const times = [];
  const numbers = [];
  for (let at = range.from; at <= range.to; at += range.step) {
    const value = byTime.get(Math.round(at / range.step));
    times.push(at * 1000);
    numbers.push(value === undefined || Number.isNaN(value) ? null : value);
  }
  return [times, numbers];
}

function column(name, type, values, labels) {
  return { name, type, values, labels, config: {} };
}

export async function seriesOf(target, variables, range) {
  const found = await ask('query_range', {
    query: filled(target.expr, variables), start: range.from, end: range.to, step: range.step,
  });
  return found.map(({ metric, values }) => {
    const [times, numbers] = withGaps(values, range);
    const name = legend(target.legendFormat, metric) || 'value';
    return new MutableDataFrame({
      refId: target.refId,
      name,
      fields: [column('Time', FieldType.time, times), column(name, FieldType.number, numbers, metric)],
    });
  });
}

export async function lastOf(target, variables, range) {
  const found = await ask('query', { query: filled(target.expr, variables), time: range.to });
  return found.map(({ metric, value }) => ({
    labels: metric, value: Number(value[1]), name: legend(target.legendFormat, metric),
  }));
}

export async function tableOf(target, variables, range, isAlone) {
  const rows = await lastOf(target, variables, range);
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row.labels)))].sort();
  return new MutableDataFrame({
    refId: target.refId,
    fields: [
      column('Time', FieldType.time, rows.map(() => range.to * 1000)),
      ...labels.map((label) => column(label, FieldType.string, rows.map((row) => row.labels[label] ?? ''))),
      column(isAlone ? 'Value' : `Value #${target.refId}`, FieldType.number, rows.map((row) => row.value)),
    ],
  });
}
