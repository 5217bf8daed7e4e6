// What the Node peers send: the same message as ours.
'use strict';

let version = 756740116480001;

const diff = (user, status) => {
  version += 1;
  return {
    type: 'diff',
    changes: [{
      userId: user,
      status: status.status,
      platforms: ['WEB'],
      lastActiveTime: `${new Date().toISOString().slice(0, 19)}Z`,
      version,
      statusText: status.statusText,
    }],
    cursor: `2f9c11d0a4.${(version % 1048576).toString(16)}`,
  };
};

module.exports = { diff, encoded: (user, status) => JSON.stringify(diff(user, status)), WELCOME: '{"type":"welcome"}' };
