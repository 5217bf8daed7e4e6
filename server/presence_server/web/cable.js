/**
 * A network cable that can be pulled: WebSockets that run through it drop as if the network had gone.
 *
 * A script cannot drop a TCP connection. It can close with a code that means no goodbye: the server takes any code
 * but 1000 and a few of its own for an unclean end, and starts the grace period, as it does for a dead link.
 */

const PULLED = 3001;
const ABNORMAL = 1006;

export class Cable {
  #isOut = false;
  #sockets = new Set();

  /** Whether the last socket ended before it was open, by no pull of ours. */
  isRefused = false;

  get isOut() {
    return this.#isOut;
  }

  /** Drop every socket, and let no new one through until `plugIn()`. */
  pull() {
    this.#isOut = true;
    for (const socket of [...this.#sockets]) socket.cut();
  }

  plugIn() {
    this.#isOut = false;
  }

  /** A class to be used as `WebSocket`, whose sockets run through this cable. */
  get WebSocket() {
    const cable = this;
    const sockets = this.#sockets;
    return class CableSocket {
      onopen = null;
      onmessage = null;
      onclose = null;
      #real = null;
      #wasOpen = false;

      constructor(url, protocols) {
        if (cable.isOut) {
          setTimeout(() => this.#ended(ABNORMAL, "no network"));
          return;
        }
        sockets.add(this);
        this.#real = new WebSocket(url, protocols);
        this.#real.onopen = (event) => {
          this.#wasOpen = true;
          this.onopen?.(event);
        };
        this.#real.onmessage = (event) => this.onmessage?.(event);
        this.#real.onclose = ({ code, reason }) => {
          cable.isRefused = !this.#wasOpen;
          this.#ended(code, reason);
        };
      }

      send(data) {
        this.#real?.send(data);
      }

      close(code, reason) {
        this.#real?.close(code, reason);
      }

      /** The network goes: the script learns it at once, without a goodbye from either side. */
      cut() {
        const real = this.#real;
        this.#real = null;
        real.onmessage = real.onclose = null;
        if (real.readyState === WebSocket.CONNECTING) real.onopen = () => real.close(PULLED, "cable pulled");
        else real.close(PULLED, "cable pulled");
        cable.isRefused = false;
        this.#ended(ABNORMAL, "cable pulled");
      }

      #ended(code, reason) {
        sockets.delete(this);
        this.onclose?.({ code, reason });
      }
    };
  }
}
