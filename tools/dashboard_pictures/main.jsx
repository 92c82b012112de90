// Lays one dashboard out as Grafana does. `?board=…&prometheus=…&from=…&to=…&model=…`. A panel that fails says why.
import { dateTime, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Content, look, theme } from './panels.jsx';

const MARGIN = 8;
const ROW = 30;
const AGAIN_MILLISECONDS = 20_000;
const given = new URLSearchParams(location.search);
const from = Number(given.get('from'));
const to = Number(given.get('to'));
const context = {
  range: { from, to, step: Number(given.get('step')) },
  timeRange: { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: '', to: '' } },
  variables: {
    __rate_interval: given.get('window'), __range: `${to - from}s`, namespace: '.*', model: given.get('model') ?? '.*', node: '.*',
  },
};

function place({ x, y, w, h }, width) {
  const unit = (width + MARGIN) / 24;
  return {
    position: 'absolute', left: x * unit, top: y * (ROW + MARGIN), width: w * unit - MARGIN, height: h * (ROW + MARGIN) - MARGIN,
  };
}

function Panel({ panel, width }) {
  const [data, setData] = useState(null);
  const [failure, setFailure] = useState('');
  const [round, setRound] = useState(0);
  useEffect(() => {
    look(panel, context).then(setData, (error) => setFailure(`${error}`));
    // On a busy machine a chart that is drawn before its legend has its size can stay blank: it is made again.
    const again = setTimeout(() => setRound(1), AGAIN_MILLISECONDS);
    return () => clearTimeout(again);
  }, [panel]);
  const style = place(panel.gridPos, width);
  return (
    <div style={style}>
      <PanelChrome title={panel.title} width={style.width} height={style.height}>
        {(inner, innerHeight) => (data
          ? <Content key={round} panel={panel} data={data} width={inner} height={innerHeight} context={context} />
          : <div style={{ color: theme.colors.error.text }}>{failure || 'no answer yet'}</div>)}
      </PanelChrome>
    </div>
  );
}

function Board({ board }) {
  const width = window.innerWidth - 2 * MARGIN;
  return (
    <div style={{ position: 'absolute', left: MARGIN, top: MARGIN, color: theme.colors.text.primary }}>
      <h3>{board.title}</h3>
      <div style={{ position: 'absolute', top: 40 }}>
        {board.panels.map((panel) => (panel.type === 'row'
          ? <div key={panel.id} style={place(panel.gridPos, width)}>⌄ {panel.title}</div>
          : <Panel key={panel.id} panel={panel} width={width} />))}
      </div>
    </div>
  );
}

const board = await (await fetch(`boards/${given.get('board')}.json`)).json();
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Board board={board} />
  </ThemeContext.Provider>,
);
