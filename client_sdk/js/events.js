/**
 * Events for whoever listens: `addEventListener` as in a browser, without `EventTarget` and `CustomEvent`, which React
 * Native and mini programs do not have.
 *
 * An event is a plain object: `{type, detail, target}`. A listener that throws stops nobody else.
 */

export class Emitter {
  #listeners = new Map(); // by type: listener -> {once, stop}

  /** `listener`: a function, or an object with `handleEvent`. `options`: `{once, signal}`. */
  addEventListener(type, listener, options) {
    const { once = false, signal } = typeof options === "object" && options !== null ? options : {};
    if (!listener || signal?.aborted) return;
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Map());
    const listeners = this.#listeners.get(type);
    if (listeners.has(listener)) return;
    listeners.set(listener, { once });
    signal?.addEventListener("abort", () => this.removeEventListener(type, listener), { once: true });
  }

  removeEventListener(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }

  /** For the owner: tell everybody who listens now. */
  emit(type, detail) {
    const listeners = this.#listeners.get(type);
    if (!listeners?.size) return;
    const event = { type, detail, target: this, currentTarget: this };
    for (const [listener, { once }] of [...listeners]) {
      if (!listeners.has(listener)) continue; // removed by another listener
      if (once) listeners.delete(listener);
      try {
        if (typeof listener === "function") listener.call(this, event);
        else listener.handleEvent(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Let the page's own handlers of errors see it, as for any event. */
function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else {
    setTimeout(() => {
      throw error;
    });
  }
}
