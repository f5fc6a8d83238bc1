package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "tributary.test/conformance/stubs/tributary/v1alpha"
)

func check(connection *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	suite := suite{ctx, connection, pb.NewAdminServiceClient(connection), pb.NewRecordServiceClient(connection)}
	suite.publishAndSubscribe()
	suite.partitions()
	suite.sequences()
	suite.credits()
	suite.failures()
	suite.follow()
	suite.health()
}

type suite struct {
	ctx        context.Context
	connection *grpc.ClientConn
	admin      pb.AdminServiceClient
	records    pb.RecordServiceClient
}

func (s suite) create(topic string, partitions int32) {
	_, err := s.admin.CreateTopic(s.ctx, &pb.CreateTopicRequest{Name: topic, Partitions: partitions})
	must(err)
}

func (s suite) publish(request *pb.PublishRequest) []*pb.RecordMetadata {
	answer, err := s.records.Publish(s.ctx, request)
	must(err)
	return answer.Records
}

func beginning() *pb.StartPosition {
	return &pb.StartPosition{Position: &pb.StartPosition_Beginning{Beginning: true}}
}

// All that is there now, as "partition@offset value".
func (s suite) readAll(selection *pb.TopicSelection) []string {
	stream, err := s.records.Subscribe(s.ctx, &pb.SubscribeRequest{Topics: []*pb.TopicSelection{selection}, StopAtEnd: true})
	must(err)
	var found []string
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			return found
		}
		must(err)
		found = append(found, shown(answer)...)
	}
}

func shown(answer *pb.SubscribeResponse) []string {
	var found []string
	for _, partition := range answer.Partitions {
		if partition.ErrorCode != 0 {
			found = append(found, partition.ErrorCode.String())
		}
		for _, record := range partition.Records {
			found = append(found, fmt.Sprintf("%d@%d %s", partition.Partition, record.Offset, record.Value))
		}
	}
	return found
}

func (s suite) publishAndSubscribe() {
	s.create("go-all", 1)
	at := int64(1_700_000_000_000)
	sent := []*pb.PublishRecord{
		{Key: []byte("k"), Value: []byte("one"), TimestampMs: &at, Headers: []*pb.RecordHeader{{Key: "h", Value: []byte("x")}, {Key: "none"}}},
		{Value: []byte{}},
		{Key: []byte("tombstone")},
	}
	metadata := s.publish(&pb.PublishRequest{Topic: "go-all", Records: sent})
	equal("offsets in the order of the request", []int64{metadata[0].Offset, metadata[1].Offset, metadata[2].Offset}, []int64{0, 1, 2})
	stream, err := s.records.Subscribe(s.ctx, &pb.SubscribeRequest{
		Topics: []*pb.TopicSelection{{Topic: "go-all", Start: beginning()}}, StopAtEnd: true})
	must(err)
	first, err := stream.Recv()
	must(err)
	equal("the first answer names the subscription", first.SubscriptionId != "", true)
	var read []*pb.SubscribedRecord
	for answer, err := stream.Recv(); err != io.EOF; answer, err = stream.Recv() {
		must(err)
		for _, partition := range answer.Partitions {
			read = append(read, partition.Records...)
		}
	}
	equal("all records come back", len(read), 3)
	equal("timestamps, keys and headers are kept", fmt.Sprint(read[0].TimestampMs, string(read[0].Key), read[0].Headers[0].Key, string(read[0].Headers[0].Value)), fmt.Sprint(at, "k", "h", "x"))
	equal("absent and empty differ", []bool{read[0].Headers[1].Value == nil, read[1].Key == nil, read[1].Value != nil, read[2].Value == nil}, []bool{true, true, true, true})
}

func (s suite) partitions() {
	s.create("go-partitions", 3)
	two := int32(2)
	metadata := s.publish(&pb.PublishRequest{Topic: "go-partitions", Records: []*pb.PublishRecord{
		{Key: []byte("same"), Value: []byte("a")}, {Key: []byte("same"), Value: []byte("b")}, {Value: []byte("c"), Partition: &two}}})
	equal("a key has one partition, a record may name its own", []bool{metadata[0].Partition == metadata[1].Partition, metadata[2].Partition == 2}, []bool{true, true})
	read := s.readAll(&pb.TopicSelection{Topic: "go-partitions", Partitions: []int32{2},
		Positions: []*pb.PartitionPosition{{Partition: 2, Start: beginning()}}})
	equal("one partition is read alone", read[len(read)-1], fmt.Sprintf("2@%d c", metadata[2].Offset))
}

func (s suite) sequences() {
	s.create("go-sequences", 1)
	producer, err := pb.NewMetadataServiceClient(s.connection).InitProducerId(s.ctx, &pb.InitProducerIdRequest{})
	must(err)
	zero := int32(0)
	request := &pb.PublishRequest{Topic: "go-sequences", Partition: &zero, Records: []*pb.PublishRecord{{Value: []byte("once")}, {Value: []byte("twice")}},
		Sequence: &pb.ProducerSequence{ProducerId: producer.ProducerId, ProducerEpoch: producer.ProducerEpoch}}
	first, again := s.publish(request), s.publish(request)
	equal("a retry is answered as the original", []int64{again[0].Offset, again[1].Offset}, []int64{first[0].Offset, first[1].Offset})
	equal("and appended once", s.readAll(&pb.TopicSelection{Topic: "go-sequences", Start: beginning()}), []string{"0@0 once", "0@1 twice"})
	request.Sequence.FirstSequence = 7
	equal("a gap is refused", s.publish(request)[0].ErrorCode, pb.ErrorCode_ERROR_CODE_OUT_OF_ORDER_SEQUENCE_NUMBER)
}

func (s suite) credits() {
	s.create("go-credits", 1)
	var records []*pb.PublishRecord
	for index := 0; index < 10; index++ {
		records = append(records, &pb.PublishRecord{Value: []byte(strings.Repeat("x", 100))})
	}
	s.publish(&pb.PublishRequest{Topic: "go-credits", Records: records})
	ctx, cancel := context.WithCancel(s.ctx)
	stream, err := s.records.Subscribe(ctx, &pb.SubscribeRequest{CreditBytes: 250,
		Topics: []*pb.TopicSelection{{Topic: "go-credits", Start: beginning()}}})
	must(err)
	read, id, limit := 0, "", uint64(250)
	for read < 10 {
		answer, err := stream.Recv()
		must(err)
		if answer.SubscriptionId != "" {
			id = answer.SubscriptionId
		}
		for _, partition := range answer.Partitions {
			read += len(partition.Records)
		}
		if uint64(read*100) > limit {
			fail("%d bytes were sent with a credit of %d", read*100, limit)
		}
		if answer.CreditNeeded != 0 {
			equal("what is needed is the next record's", answer.CreditNeeded, uint64(read*100+100))
			limit = answer.CreditNeeded + 250
			_, err := s.records.GrantCredit(s.ctx, &pb.GrantCreditRequest{SubscriptionId: id, CreditLimit: limit})
			must(err)
		}
	}
	cancel()
	_, err = s.records.GrantCredit(s.ctx, &pb.GrantCreditRequest{SubscriptionId: "none", CreditLimit: 1})
	equal("an unknown subscription", refusal(err), "NotFound RESOURCE_NOT_FOUND")
}

func (s suite) failures() {
	_, err := s.records.Publish(s.ctx, &pb.PublishRequest{Topic: "go-absent", Records: []*pb.PublishRecord{{}}})
	equal("an unknown topic is a typed detail", refusal(err), "NotFound UNKNOWN_TOPIC_OR_PARTITION")
	_, err = s.records.Publish(s.ctx, &pb.PublishRequest{Topic: "go-all"})
	equal("no records", refusal(err), "InvalidArgument INVALID_REQUEST")
	_, err = s.admin.CreateTopic(s.ctx, &pb.CreateTopicRequest{Name: "go-bad", Partitions: 1, Configs: map[string]string{"retention.ms": "soon"}})
	equal("a bad config", refusal(err), "InvalidArgument INVALID_CONFIG")
	_, err = s.admin.CreateTopic(s.ctx, &pb.CreateTopicRequest{Name: "go-all", Partitions: 1})
	equal("a name that is taken", refusal(err), "AlreadyExists TOPIC_ALREADY_EXISTS")
	err = s.connection.Invoke(s.ctx, "/tributary.v1alpha.RecordService/Nothing", &emptypb.Empty{}, &emptypb.Empty{})
	equal("a method that is not there", status.Code(err), codes.Unimplemented)
	late, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	stream, err := s.records.Subscribe(late, &pb.SubscribeRequest{Topics: []*pb.TopicSelection{{Topic: "go-all"}}})
	must(err)
	for err == nil {
		_, err = stream.Recv()
	}
	equal("a deadline ends a subscription", status.Code(err), codes.DeadlineExceeded)
}

// New records reach a subscription that is open, also those of a topic that it reads from the end.
func (s suite) follow() {
	s.create("go-follow", 2)
	// A broker that answers a Publish leads; the first answer to a Subscribe then comes no sooner than its positions are known.
	for partition := int32(0); partition < 2; partition++ {
		partition := partition
		s.publish(&pb.PublishRequest{Topic: "go-follow", Partition: &partition, Records: []*pb.PublishRecord{{Value: []byte("old")}}})
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stream, err := s.records.Subscribe(ctx, &pb.SubscribeRequest{Topics: []*pb.TopicSelection{{Topic: "go-follow"}}})
	must(err)
	_, err = stream.Recv()
	must(err)
	zero := int32(0)
	s.publish(&pb.PublishRequest{Topic: "go-follow", Partition: &zero, Records: []*pb.PublishRecord{{Value: []byte("new")}}})
	var read []string
	for len(read) == 0 {
		answer, err := stream.Recv()
		must(err)
		read = shown(answer)
	}
	equal("a new record comes by itself", strings.HasSuffix(read[0], " new"), true)
}

func (s suite) health() {
	client := grpc_health_v1.NewHealthClient(s.connection)
	for _, service := range []string{"", "tributary.v1alpha.RecordService", "tributary.v1alpha.AdminService"} {
		answer, err := client.Check(s.ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		must(err)
		equal("health of "+service, answer.Status, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	_, err := client.Check(s.ctx, &grpc_health_v1.HealthCheckRequest{Service: "nothing"})
	equal("health of what is not served", status.Code(err), codes.NotFound)
	watch, err := client.Watch(s.ctx, &grpc_health_v1.HealthCheckRequest{})
	must(err)
	answer, err := watch.Recv()
	must(err)
	equal("watched health", answer.Status, grpc_health_v1.HealthCheckResponse_SERVING)
}

// "Code REASON" of a failed call.
func refusal(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "tributary" {
			return fmt.Sprintf("%s %s", status.Code(err), info.Reason)
		}
	}
	return fmt.Sprintf("%s without a detail", status.Code(err))
}

func equal(what string, actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		fail("%s: %v instead of %v", what, actual, expected)
	}
	fmt.Println(what)
}
