// Writes the golden vectors of the record format: what a real Java producer sends, as its broker keeps it. See README.md beside this file.
//   java -cp 'LIBS/*' GoldenVectors.java BOOTSTRAP BROKER_DATA_DIR OUT_DIR

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public class GoldenVectors {
  static final long NOON = 1_700_000_000_000L;
  static final HexFormat HEX = HexFormat.of();
  static final ObjectMapper JSON = new ObjectMapper();

  static String bootstrap;
  static Path data;
  static Path out;

  interface Scenario {
    void run(String topic) throws Exception;
  }

  public static void main(String[] args) throws Exception {
    bootstrap = args[0];
    data = Path.of(args[1]);
    out = Path.of(args[2]);
    Map<String, String> plain = Map.of("enable.idempotence", "false", "acks", "1");

    scenario("plain", Map.of(), topic -> {
      try (var producer = producer(plain)) {
        for (var record : variety(topic)) producer.send(record);
        producer.flush();
        producer.send(record(topic, NOON + 1, "alone", "a batch of one"));
        producer.flush();
      }
    });
    for (String compression : List.of("gzip", "snappy", "lz4", "zstd")) {
      scenario(compression, Map.of(), topic -> {
        Map<String, String> config = new HashMap<>(plain);
        config.put("compression.type", compression);
        try (var producer = producer(config)) {
          for (var record : variety(topic)) producer.send(record);
          producer.flush();
          for (var record : bulk(topic)) producer.send(record);
          producer.flush();
        }
      });
    }
    scenario("idempotent", Map.of(), topic -> {
      try (var first = producer(Map.of()); var second = producer(Map.of("compression.type", "zstd"))) {
        for (int round = 0; round < 3; round++) {
          for (var producer : List.of(first, second)) {
            for (int index = 0; index <= round; index++) producer.send(record(topic, NOON + round, "key-" + index, "value-" + round));
            producer.flush();
          }
        }
      }
    });
    scenario("transactional", Map.of(), topic -> {
      try (var producer = producer(Map.of("transactional.id", "golden"))) {
        producer.initTransactions();
        for (boolean commit : new boolean[] {true, false, true}) {
          producer.beginTransaction();
          producer.send(record(topic, NOON, "committed", String.valueOf(commit)));
          producer.send(record(topic, NOON + 5, null, "second"));
          producer.flush();
          if (commit) producer.commitTransaction();
          else producer.abortTransaction();
        }
      }
      Thread.sleep(1000);
    });
    scenario("log-append-time", Map.of("message.timestamp.type", "LogAppendTime"), topic -> {
      try (var producer = producer(plain)) {
        for (var record : variety(topic)) producer.send(record);
        producer.flush();
      }
    });
    scenario("compacted", Map.of("cleanup.policy", "compact", "segment.ms", "1000", "min.cleanable.dirty.ratio", "0.01", "min.compaction.lag.ms", "0",
        "delete.retention.ms", "86400000"), topic -> {
      try (var producer = producer(Map.of())) {
        for (int round = 0; round < 3; round++) {
          for (int index = 0; index < 8; index++) producer.send(record(topic, NOON + round, "key-" + index % (round + 3), "value-" + round + "-" + index));
          producer.flush();
        }
        producer.send(record(topic, NOON + 9, "key-1", null));
        producer.flush();
        Thread.sleep(2000);
        producer.send(record(topic, NOON + 10_000, "rolls-the-segment", "x"));
        producer.flush();
        Thread.sleep(2000);
        producer.send(record(topic, NOON + 20_000, "rolls-it-again", "x"));
        producer.flush();
      }
      Thread.sleep(40_000);
    });
  }

  static void scenario(String name, Map<String, String> config, Scenario scenario) throws Exception {
    String topic = "golden-" + name;
    try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(config))).all().get();
    }
    Thread.sleep(500);
    scenario.run(topic);
    byte[] bytes = segments(data.resolve(topic + "-0"));
    Files.write(out.resolve(name + ".bin"), bytes);
    ObjectNode expected = describe(bytes);
    JSON.writeValue(out.resolve(name + ".json").toFile(), expected);
    System.out.println(name + ": " + bytes.length + " bytes, " + expected.get("batches").size() + " batches");
  }

  /** All segments, one after another: old timestamps beside today's (of control records) make the broker roll. */
  static byte[] segments(Path folder) throws Exception {
    var joined = new ByteArrayOutputStream();
    try (var files = Files.list(folder)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".log")).sorted().toList()) joined.write(Files.readAllBytes(file));
    }
    return joined.toByteArray();
  }

  static KafkaProducer<byte[], byte[]> producer(Map<String, String> config) {
    Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", "60000", "batch.size", "262144", "buffer.memory", "4194304"));
    all.putAll(config);
    return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
  }

  static byte[] utf8(String text) {
    return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
  }

  static ProducerRecord<byte[], byte[]> record(String topic, long timestamp, String key, String value, Header... headers) {
    return new ProducerRecord<>(topic, 0, timestamp, utf8(key), utf8(value), Arrays.asList(headers));
  }

  /** Each odd thing that a record may be. */
  static List<ProducerRecord<byte[], byte[]>> variety(String topic) {
    Header text = new RecordHeader("trace", utf8("abc-123"));
    Header absent = new RecordHeader("absent", (byte[]) null);
    Header empty = new RecordHeader("", new byte[0]);
    Header binary = new RecordHeader("naïve-ключ", HEX.parseHex("00ff80007f"));
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    records.add(record(topic, NOON, "key", "value"));
    records.add(record(topic, NOON + 1, null, "no key"));
    records.add(record(topic, NOON + 1, "tombstone", null));
    records.add(record(topic, NOON - 1, null, null));
    records.add(record(topic, NOON - 86_400_000L * 30, "", ""));
    records.add(record(topic, NOON + 86_400_000L * 365, "ключ-鍵-🔑", "grüße-🌊"));
    records.add(record(topic, NOON + 63, "headers", "all sorts", text, absent, empty, binary, text));
    records.add(record(topic, NOON + 64, "63", "x".repeat(63)));
    records.add(record(topic, NOON - 64, "64", "x".repeat(64)));
    records.add(record(topic, NOON - 65, "k".repeat(100), "y".repeat(8192)));
    return records;
  }

  /** More than one block of snappy (32 KiB) and of LZ4 (64 KiB), part of it incompressible, small once compressed. */
  static List<ProducerRecord<byte[], byte[]>> bulk(String topic) {
    Random random = new Random(42);
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (int index = 0; index < 150; index++) {
      byte[] noise = new byte[index % 15 == 0 ? 100 : 2];
      random.nextBytes(noise);
      String line = "line " + index + " of something that repeats itself; ";
      records.add(record(topic, NOON + index * 100L, "user-" + index % 7, line.repeat(16) + HEX.formatHex(noise)));
    }
    return records;
  }

  static ObjectNode describe(byte[] bytes) throws Exception {
    ObjectNode root = JSON.createObjectNode();
    root.put("kafka", AppInfoParser.getVersion());
    ArrayNode batches = root.putArray("batches");
    int position = 0;
    for (MutableRecordBatch each : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches()) {
      DefaultRecordBatch batch = (DefaultRecordBatch) each;
      batch.ensureValid();
      ObjectNode node = batches.addObject();
      node.put("at", position);
      node.put("size", batch.sizeInBytes());
      node.put("baseOffset", Long.toString(batch.baseOffset()));
      node.put("lastOffset", Long.toString(batch.lastOffset()));
      node.put("leaderEpoch", batch.partitionLeaderEpoch());
      node.put("crc", batch.checksum());
      node.put("attributes", ByteBuffer.wrap(bytes).getShort(position + 21));
      node.put("compression", batch.compressionType().name);
      node.put("timestampType", batch.timestampType().name);
      node.put("baseTimestamp", batch.baseTimestamp());
      node.put("maxTimestamp", batch.maxTimestamp());
      node.put("producerId", Long.toString(batch.producerId()));
      node.put("producerEpoch", batch.producerEpoch());
      node.put("baseSequence", batch.baseSequence());
      node.put("lastSequence", batch.lastSequence());
      node.put("transactional", batch.isTransactional());
      node.put("control", batch.isControlBatch());
      node.put("deleteHorizon", batch.deleteHorizonMs().isPresent());
      ArrayNode records = node.putArray("records");
      for (Record record : batch) {
        ObjectNode entry = records.addObject();
        entry.put("offset", Long.toString(record.offset()));
        entry.put("timestamp", record.timestamp());
        put(entry, "key", record.hasKey() ? record.key() : null);
        put(entry, "value", record.hasValue() ? record.value() : null);
        ArrayNode headers = entry.putArray("headers");
        for (Header header : record.headers()) {
          ObjectNode pair = headers.addObject();
          pair.put("key", header.key());
          put(pair, "value", header.value() == null ? null : ByteBuffer.wrap(header.value()));
        }
        if (batch.isControlBatch()) {
          EndTransactionMarker marker = EndTransactionMarker.deserialize(record);
          entry.put("control", marker.controlType() == ControlRecordType.COMMIT ? "commit" : "abort");
          entry.put("coordinatorEpoch", marker.coordinatorEpoch());
        }
      }
      position += batch.sizeInBytes();
    }
    return root;
  }

  /** Short bytes as hex, long ones as length and digest. */
  static void put(ObjectNode node, String name, ByteBuffer buffer) throws Exception {
    if (buffer == null) {
      node.putNull(name);
      return;
    }
    byte[] bytes = new byte[buffer.remaining()];
    buffer.duplicate().get(bytes);
    if (bytes.length <= 64) node.put(name, HEX.formatHex(bytes));
    else node.putObject(name).put("length", bytes.length).put("sha256", HEX.formatHex(MessageDigest.getInstance("SHA-256").digest(bytes)));
  }
}
