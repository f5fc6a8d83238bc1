// A client with nothing but stubs generated from proto/: what it is promised at the record level, and how fast that is.
//
//	conformance check ADDRESS               prints a line per promise kept; ends with 1 at the first that is not
//	conformance publish ADDRESS TOPIC …     publishes for a benchmark, and prints its figures as JSON
//	conformance subscribe ADDRESS TOPIC …   reads for a benchmark, likewise
package main

import (
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if len(os.Args) < 3 {
		fail("usage: conformance check|publish|subscribe ADDRESS …")
	}
	connection, err := grpc.Dial(os.Args[2],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(8<<20),
		grpc.WithInitialConnWindowSize(8<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	must(err)
	defer connection.Close()
	switch os.Args[1] {
	case "check":
		check(connection)
	case "publish":
		publish(connection, os.Args[3:])
	case "subscribe":
		subscribe(connection, os.Args[3:])
	default:
		fail("unknown command %s", os.Args[1])
	}
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
