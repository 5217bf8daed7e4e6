/** Promises whose failures are for whoever asks. */

/** A promise nobody has to catch: a failure reaches who asks for it, but ignoring it is no error of the page's. */
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}

export function deferred() {
  const parts = {};
  const promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return { promise: handled(promise), ...parts };
}
