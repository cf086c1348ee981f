/**
 * Waits for what many ask for at once, and for so long at most: resolves to undefined when it fails or is late, and then at once, until
 * what was late has come.
 * @param ask may give the same promise to several; they share one timer
 */
export function patiently<T>(patienceMs: number, ask: () => Promise<T>): () => Promise<T | undefined> {
  let late = false;
  let asked: Promise<T> | undefined;
  let answer: Promise<T | undefined> = Promise.resolve(undefined);

  function wait(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        late = true;
        resolve(undefined);
      }, patienceMs);
      const settle = (value: T | undefined) => {
        clearTimeout(timer);
        late = false;
        resolve(value);
      };
      promise.then(settle, () => settle(undefined));
    });
  }

  return () => {
    if (late) return Promise.resolve(undefined);
    const promise = ask();
    if (promise !== asked) {
      asked = promise;
      answer = wait(promise);
    }
    return answer;
  };
}
