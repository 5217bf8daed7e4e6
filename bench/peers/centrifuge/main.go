// Centrifuge, the Go library behind Centrifugo: each user is a channel. Whom a client watches comes with its connect,
// and becomes its server-side subscriptions; a status is an RPC, and is published into the user's channel.
//
// Centrifuge batches by itself: with a write delay of WINDOW milliseconds, what gathers for a connection within it is
// written as one frame, with a timer instead of a goroutine per connection and without a limit of messages per frame.
// With 0 it writes at once. Compression is off, as it is by default.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

type hello struct {
	UserID int64   `json:"userId"`
	Watch  []int64 `json:"watch"`
}

type status struct {
	Status     string `json:"status"`
	StatusText string `json:"statusText"`
}

type entry struct {
	UserID         int64    `json:"userId"`
	Status         string   `json:"status"`
	Platforms      []string `json:"platforms"`
	LastActiveTime string   `json:"lastActiveTime"`
	Version        int64    `json:"version"`
	StatusText     string   `json:"statusText"`
}

type diff struct {
	Type    string  `json:"type"`
	Changes []entry `json:"changes"`
	Cursor  string  `json:"cursor"`
}

var version atomic.Int64

func encoded(user int64, said status) ([]byte, error) {
	number := version.Add(1)
	now := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	changed := entry{user, said.Status, []string{"WEB"}, now, 756740116480000 + number, said.StatusText}
	return json.Marshal(diff{"diff", []entry{changed}, fmt.Sprintf("2f9c11d0a4.%x", number)})
}

func channel(user int64) string { return "user:" + strconv.FormatInt(user, 10) }

func main() {
	window, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	node, err := centrifuge.New(centrifuge.Config{
		ClientChannelLimit: 10000,
		ClientQueueMaxSize: 16 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		var said hello
		if err := json.Unmarshal(event.Data, &said); err != nil {
			return centrifuge.ConnectReply{}, centrifuge.ErrorBadRequest
		}
		subscriptions := make(map[string]centrifuge.SubscribeOptions, len(said.Watch))
		for _, user := range said.Watch {
			subscriptions[channel(user)] = centrifuge.SubscribeOptions{}
		}
		return centrifuge.ConnectReply{
			Credentials:        &centrifuge.Credentials{UserID: strconv.FormatInt(said.UserID, 10)},
			Subscriptions:      subscriptions,
			WriteDelay:         time.Duration(window) * time.Millisecond,
			WriteWithTimer:     window > 0,
			MaxMessagesInFrame: -1,
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnRPC(func(event centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			var said status
			user, err := strconv.ParseInt(client.UserID(), 10, 64)
			if err == nil {
				err = json.Unmarshal(event.Data, &said)
			}
			var message []byte
			if err == nil {
				message, err = encoded(user, said)
			}
			if err == nil {
				_, err = node.Publish(channel(user), message)
			}
			reply(centrifuge.RPCReply{}, err)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		UseWriteBufferPool: true,
		WriteTimeout:       10 * time.Second, // nobody is to be dropped for a stall of the machine
		MessageSizeLimit:   1 << 20,
	}))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
