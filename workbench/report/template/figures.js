"use strict";

// plotly.js is carried once per page, compressed; the browser unpacks it.
async function loadPlotly() {
  const packed = document.getElementById("plotly-js");
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (character) => character.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = new Blob([await new Response(unpacked).arrayBuffer()], { type: "text/javascript" });
  const script = document.createElement("script");
  script.src = URL.createObjectURL(source);
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error("plotly.js could not be unpacked"));
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
}

async function drawFigure(figure) {
  const live = figure.querySelector(".plotly-live");
  const { data, layout = {}, config = {}, frames } = JSON.parse(figure.querySelector("script").textContent);
  live.classList.toggle("side-by-side", "xaxis2" in layout);
  await Plotly.newPlot(live, {
    data,
    layout,
    frames,
    config: { ...config, plotlyServerURL: undefined, showSendToCloud: false, displaylogo: false, responsive: true },
  });
  figure.classList.add("drawn");
}

// Paper gets a picture: a live figure would be cut at the screen's width.
async function keepStill(figure) {
  const still = figure.querySelector(".plotly-still");
  if (still.hasAttribute("src")) return;
  const live = figure.querySelector(".plotly-live");
  const width = live._fullLayout.autosize ? 720 : live._fullLayout.width;
  still.src = await Plotly.toImage(live, { format: "svg", width, height: live._fullLayout.height });
  await still.decode();
}

function complain(figure, error) {
  console.error(error);
  const note = document.createElement("p");
  note.className = "left-out";
  note.textContent = `This figure could not be drawn: ${error.message}`;
  figure.append(note);
}

async function drawFigures() {
  const figures = [...document.querySelectorAll(".plotly-figure")];
  if (figures.length === 0) return;
  try {
    await loadPlotly();
  } catch (error) {
    figures.forEach((figure) => complain(figure, error));
    return;
  }
  for (const step of [drawFigure, keepStill]) {
    for (const figure of figures) {
      try {
        await step(figure);
      } catch (error) {
        complain(figure, error);
      }
    }
  }
}

// data-figures is "ready" once every figure and its still picture stand, for whoever prints this page by machine.
drawFigures().then(() => (document.documentElement.dataset.figures = "ready"));
