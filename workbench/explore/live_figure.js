// A plotly figure whose plotly may come late.
//
// A widget has two seconds to start, and five megabytes of plotly take longer than that on a busy machine: the
// page then stays empty. So this widget starts at once, and its picture follows when plotly is there, once for
// all figures of a kernel. What Python changes in between is kept and told to plotly then.

const CHANGES = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate",
  "removeLayoutProps", "removeTraceProps",
].map((name) => `_py2js_${name}`);

const libraries = (globalThis.workbenchPlotly ??= new Map());

async function fetchLibrary(model, id) {
  const { widget_manager: manager } = model;
  const source = (await manager.get_model(id)).get("source");
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

// The promise is shared; one that failed is forgotten, so that the next figure asks again.
function library(model) {
  const id = model.get("_library").replace("IPY_MODEL_", "");
  if (!libraries.has(id)) {
    const fetched = fetchLibrary(model, id);
    fetched.catch(() => libraries.delete(id));
    libraries.set(id, fetched);
  }
  return libraries.get(id);
}

// Python sets a change and at once takes it back, so values are kept as they come. A figure that is displayed
// once more sends all that it shows, with what was kept so far.
function keepChanges(model) {
  const kept = [];
  const keepers = CHANGES.map((name) => [
    `change:${name}`,
    () => model.get(name) !== null && kept.push([name, model.get(name)]),
  ]);
  keepers.push(["change:_widget_data", () => (kept.length = 0)]);
  for (const [event, keep] of keepers) model.on(event, keep);
  return () => {
    for (const [event, keep] of keepers) model.off(event, keep);
    return kept;
  };
}

async function start(model) {
  const changes = keepChanges(model);
  let plotly;
  let kept;
  try {
    plotly = await library(model);
  } finally {
    kept = changes();
  }
  const figure = plotly.default();
  figure.initialize({ model });
  for (const [name, value] of kept) {
    model.set(name, value);
    model.set(name, null);
  }
  return figure;
}

export default () => {
  let figure;
  return {
    initialize({ model }) {
      figure = start(model);
      figure.catch(() => {}); // told where it is drawn
    },
    async render({ model, el }) {
      return (await figure).render({ model, el });
    },
  };
};
