// One component for each type of panel, around Grafana's own. The heatmap is not in Grafana's library: it is drawn here.
import {
  createTheme, FieldType, getDisplayProcessor, standardTransformers, standardTransformersRegistry, toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, Table, TimeSeries } from '@grafana/ui';
import { useEffect, useRef } from 'react';
import { lastValueFrom } from 'rxjs';
import { lastOf, seriesOf, tableOf } from './query.js';

export const theme = createTheme({ colors: { mode: 'dark' } });

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((one) => ({
    id: one.id, name: one.name, description: '', transformation: () => Promise.resolve(one), aliasIds: [],
  })),
);

const isEmpty = (frames) => !frames.some((frame) => frame.fields.some(
  (field) => field.type === FieldType.number && field.values.some((value) => value !== null && !Number.isNaN(value)),
));

function configured(field, panel, index) {
  const { defaults, overrides } = panel.fieldConfig;
  const name = field.config.displayName ?? field.name;
  const own = overrides.filter((one) => one.matcher.options === name).flatMap((one) => one.properties);
  field.config = { ...defaults, ...field.config, ...Object.fromEntries(own.map(({ id, value }) => [id, value])) };
  field.state = { ...field.state, seriesIndex: index };
  field.display = getDisplayProcessor({ field, theme });
  return field;
}

async function all(ask, panel, context) {
  const found = await Promise.all(panel.targets.map((target) => ask(target, context.variables, context.range)));
  return found.flat();
}

const asked = {
  timeseries: (panel, context) => all(seriesOf, panel, context),
  heatmap: (panel, context) => all(seriesOf, panel, context),
  stat: (panel, context) => all(seriesOf, panel, context),
  bargauge: (panel, context) => all(lastOf, panel, context),
  table: async (panel, context) => {
    const isAlone = panel.targets.length === 1;
    const frames = await Promise.all(
      panel.targets.map((target) => tableOf(target, context.variables, context.range, isAlone)),
    );
    return lastValueFrom(transformDataFrame(panel.transformations, frames.filter((frame) => frame.length > 0)));
  },
};

export async function look(panel, context) {
  return asked[panel.type](panel, context);
}

function Lines({ panel, data, width, height, context }) {
  let index = 0;
  const values = data.flatMap((frame) => frame.fields[1].values).filter((value) => value !== null);
  const range = { min: Math.min(0, ...values), max: Math.max(...values), delta: Math.max(...values) };
  const frames = data.map((frame) => {
    const made = toDataFrame(frame);
    for (const field of made.fields) {
      field.config = field.type === FieldType.time ? {} : { displayName: frame.name };
      if (field.type !== FieldType.time) {
        configured(field, panel, index);
        field.state = { ...field.state, range };
        index += 1;
      }
    }
    return made;
  });
  return (
    <TimeSeries
      frames={frames} width={width} height={height} timeZone="utc" timeRange={context.timeRange}
      legend={panel.options.legend} options={{}}
    />
  );
}

function Stat({ panel, data, width, height }) {
  const frame = toDataFrame(data[0]);
  const field = configured(frame.fields[1], panel, 0);
  const numbers = field.values.filter((value) => value !== null);
  const value = field.display(numbers[numbers.length - 1]);
  return (
    <BigValue
      width={width} height={height} theme={theme} value={value} colorMode="value" graphMode="area" textMode="value"
      sparkline={{ x: frame.fields[0], y: field }}
    />
  );
}

function Bars({ panel, data, width, height }) {
  const highest = Math.max(...data.map((one) => one.value), 0);
  const line = Math.min(44, height / data.length);
  const longest = data.map((one) => one.name).reduce((a, b) => (a.length > b.length ? a : b)) + '  ';
  return data.map((one, index) => {
    const field = configured(
      { name: one.name, type: FieldType.number, values: [one.value], config: {} }, panel, index,
    );
    field.config = { ...field.config, min: 0, max: field.config.max ?? (highest || 1) };
    const value = { ...field.display(one.value), title: one.name };
    return (
      <BarGauge
        key={one.name} width={width} height={line} theme={theme} value={value} field={field.config}
        display={field.display} orientation="horizontal" displayMode="basic" itemSpacing={6} showUnfilled
        alignmentFactors={{ title: longest, text: '000.00 units' }}
      />
    );
  });
}

function Rows({ panel, data, width, height }) {
  const [frame] = data;
  frame.fields.forEach((field, index) => configured(field, panel, index));
  return <Table data={frame} width={width} height={height} />;
}

function Heat({ data, width, height, panel }) {
  const canvas = useRef(null);
  useEffect(() => {
    const sorted = [...data].sort((a, b) => Number(a.name.replace('+Inf', 'Infinity')) - Number(b.name.replace('+Inf', 'Infinity')));
    const rows = sorted.map((frame, place) => frame.fields[1].values.map(
      (value, at) => Math.max(0, (value ?? 0) - (place ? sorted[place - 1].fields[1].values[at] ?? 0 : 0)),
    ));
    const used = rows.map((row, place) => [row, sorted[place].name]).filter(([row]) => row.some((value) => value > 1e-9));
    const highest = Math.max(...used.flatMap(([row]) => row));
    const draw = canvas.current.getContext('2d');
    const left = 60;
    const cell = { width: (width - left) / rows[0].length, height: (height - 8) / used.length };
    const text = getDisplayProcessor({ field: { type: FieldType.number, config: { unit: panel.fieldConfig.defaults.unit } }, theme });
    draw.font = '12px Inter, sans-serif';
    used.forEach(([row, name], place) => {
      const top = height - 8 - (place + 1) * cell.height;
      const shown = name === '+Inf' ? { text: 'longer', suffix: '' } : text(Number(name));
      draw.fillStyle = theme.colors.text.secondary;
      draw.fillText(`${shown.text}${shown.suffix ?? ''}`, 4, top + cell.height / 2 + 4);
      row.forEach((value, at) => {
        draw.fillStyle = `rgba(255, 152, 48, ${Math.sqrt(value / highest)})`;
        draw.fillRect(left + at * cell.width, top, Math.ceil(cell.width), cell.height - 1);
      });
    });
  });
  return <canvas ref={canvas} width={width} height={height} />;
}

const kinds = { timeseries: Lines, stat: Stat, bargauge: Bars, table: Rows, heatmap: Heat };

export function Content({ panel, data, ...rest }) {
  const frames = panel.type === 'bargauge' ? data : data.filter((frame) => !isEmpty([frame]));
  if (frames.length === 0) {
    return <div style={{ color: theme.colors.text.secondary, padding: 12 }}>{panel.fieldConfig.defaults.noValue}</div>;
  }
  const Kind = kinds[panel.type];
  return <Kind panel={panel} data={frames} {...rest} />;
}
