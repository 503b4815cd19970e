"use strict";
(() => {
  const cells = JSON.parse(document.getElementById("data").textContent).cells || [];
  const readout = document.getElementById("readout");
  const maps = [...document.querySelectorAll("svg.treemap")];
  // Of the cell that is told of: above all others, which would hide half of its own edge.
  const rings = new Map(maps.map((map) => {
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ring.setAttribute("class", "ring");
    map.append(ring);
    return [map, ring];
  }));

  const tell = (key) => {
    if (!readout || !cells[key]) return;
    const list = document.createElement("dl");
    for (const [what, value] of cells[key]) {
      const pair = document.createElement("div");
      for (const [kind, text] of [["dt", what], ["dd", value]]) {
        const one = document.createElement(kind);
        one.textContent = text;
        pair.append(one);
      }
      list.append(pair);
    }
    readout.replaceChildren(list);
    for (const map of maps) {
      const chosen = map.querySelector(`.cell[data-key="${key}"] > rect`);
      const ring = rings.get(map);
      ring.style.display = chosen ? "" : "none";
      if (chosen) for (const side of ["x", "y", "width", "height"]) ring.setAttribute(side, chosen.getAttribute(side));
    }
  };

  for (const map of maps) {
    const all = [...map.querySelectorAll(".cell")];
    const move = (from, to) => {
      const next = all[Math.min(Math.max(to, 0), all.length - 1)];
      all[from].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    };
    all.forEach((cell, at) => {
      const key = Number(cell.dataset.key);
      cell.addEventListener("pointerenter", () => tell(key));
      cell.addEventListener("focus", () => tell(key));
      cell.addEventListener("click", () => move(all.findIndex((one) => one.tabIndex === 0), at));
      cell.addEventListener("keydown", (event) => {
        const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
        if (event.key in to) {
          event.preventDefault();
          move(at, to[event.key]);
        }
      });
    });
  }

  for (const choice of document.querySelectorAll("input[name=paint]")) {
    choice.addEventListener("change", () => {
      const map = document.querySelector(".map");
      map.classList.toggle("by-bits", choice.value === "bits");
      map.classList.toggle("by-harm", choice.value === "harm");
    });
  }
  tell(0);
})();
