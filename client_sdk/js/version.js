/** What this SDK says it is in `hello`, for the operator's statistics. The version is that of `package.json`. */

export const CLIENT = "presence-js/1.0.0";
