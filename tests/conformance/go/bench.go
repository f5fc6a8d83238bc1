package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	pb "tributary.test/conformance/stubs/tributary/v1alpha"
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err)
	return value
}

// TOPIC RECORDS RECORDS_PER_REQUEST BYTES REQUESTS_AT_ONCE
func publish(connection *grpc.ClientConn, arguments []string) {
	if len(arguments) < 5 {
		fail("publish ADDRESS TOPIC RECORDS RECORDS_PER_REQUEST BYTES REQUESTS_AT_ONCE")
	}
	topic, records, perRequest, bytes, atOnce := arguments[0], number(arguments[1]), number(arguments[2]), number(arguments[3]), number(arguments[4])
	client := pb.NewRecordServiceClient(connection)
	value := make([]byte, bytes)
	for index := range value {
		value[index] = byte('a' + index%26)
	}
	request := &pb.PublishRequest{Topic: topic}
	for index := 0; index < perRequest; index++ {
		request.Records = append(request.Records, &pb.PublishRecord{Value: value})
	}
	left := int64(records / perRequest)
	measured("publish", func() int {
		var workers sync.WaitGroup
		for worker := 0; worker < atOnce; worker++ {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for atomic.AddInt64(&left, -1) >= 0 {
					answer, err := client.Publish(context.Background(), request)
					must(err)
					if answer.Records[0].ErrorCode != 0 {
						fail("%s", answer.Records[0].ErrorMessage)
					}
				}
			}()
		}
		workers.Wait()
		return records / perRequest * perRequest
	})
}

// TOPIC RECORDS
func subscribe(connection *grpc.ClientConn, arguments []string) {
	if len(arguments) < 2 {
		fail("subscribe ADDRESS TOPIC RECORDS")
	}
	wanted := number(arguments[1])
	measured("subscribe", func() int {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stream, err := pb.NewRecordServiceClient(connection).Subscribe(ctx, &pb.SubscribeRequest{
			Topics: []*pb.TopicSelection{{Topic: arguments[0], Start: beginning()}}})
		must(err)
		read := 0
		for read < wanted {
			answer, err := stream.Recv()
			must(err)
			for _, partition := range answer.Partitions {
				if partition.ErrorCode != 0 {
					fail("%s", partition.ErrorMessage)
				}
				read += len(partition.Records)
			}
		}
		return read
	})
}

// Runs it and prints records, seconds and what this client itself needed of the processor, as JSON. With PROFILE set, its profile goes there.
func measured(what string, run func() int) {
	if file := os.Getenv("PROFILE"); file != "" {
		out, err := os.Create(file)
		must(err)
		must(pprof.StartCPUProfile(out))
		defer pprof.StopCPUProfile()
	}
	begin := time.Now()
	records := run()
	seconds := time.Since(begin).Seconds()
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	text, err := json.Marshal(map[string]any{"what": what, "records": records, "seconds": seconds,
		"recordsPerSecond": float64(records) / seconds, "clientCpuSeconds": cpu})
	must(err)
	fmt.Println(string(text))
}
