/** Verifies messages with the library of Standard Webhooks: run by tests/webhooks/test_over_sockets.py. */

import { Webhook } from "standardwebhooks";

const told = JSON.parse(process.argv[2]).map(({ secret, headers, body }) => {
  try {
    return new Webhook(secret).verify(body, headers);
  } catch (failure) {
    return failure.constructor.name;
  }
});
console.log(JSON.stringify(told));
