// Sends one record every 5 ms to partition 0, acks=all, and keeps the largest gap between acknowledgements. Lines on standard input ask for:
//   reset          forget what was so far
//   gap            {"gapMs": …, "acknowledged": …, "errors": …} since the reset, the gap that is still open included
//   leader         the partition's leader
//   insync         the number of in-sync replicas
// usage: java -cp … AckGap.java BOOTSTRAP TOPIC
import java.util.*;
import java.util.concurrent.atomic.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class AckGap {
  static final AtomicLong last = new AtomicLong(System.nanoTime()), largest = new AtomicLong(), acknowledged = new AtomicLong(), errors = new AtomicLong();

  static TopicPartitionInfo partition(Admin admin, String topic) throws Exception {
    while (true) {
      try {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().get(0);
      } catch (Exception retry) {
        Thread.sleep(50);
      }
    }
  }

  static void heard(RecordMetadata metadata, Exception error) {
    if (error != null) {
      errors.incrementAndGet();
      return;
    }
    long now = System.nanoTime();
    largest.accumulateAndGet(now - last.getAndSet(now), Math::max);
    acknowledged.incrementAndGet();
  }

  public static void main(String[] args) throws Exception {
    Map<String, Object> options = Map.of("bootstrap.servers", args[0], "acks", "all", "linger.ms", "0");
    Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) args[0]));
    var producer = new KafkaProducer<byte[], byte[]>(options, new ByteArraySerializer(), new ByteArraySerializer());
    Thread sender = new Thread(() -> {
      while (true) {
        producer.send(new ProducerRecord<>(args[1], 0, null, new byte[100]), AckGap::heard);
        try { Thread.sleep(5); } catch (InterruptedException over) { return; }
      }
    });
    sender.setDaemon(true);
    sender.start();
    var lines = new Scanner(System.in);
    while (lines.hasNextLine()) {
      switch (lines.nextLine()) {
        case "reset" -> {
          last.set(System.nanoTime());
          largest.set(0);
          acknowledged.set(0);
          errors.set(0);
          System.out.println("{}");
        }
        case "gap" -> System.out.printf("{\"gapMs\": %d, \"acknowledged\": %d, \"errors\": %d}%n",
            Math.max(largest.get(), System.nanoTime() - last.get()) / 1_000_000, acknowledged.get(), errors.get());
        case "leader" -> System.out.println(partition(admin, args[1]).leader() == null ? -1 : partition(admin, args[1]).leader().id());
        case "insync" -> System.out.println(partition(admin, args[1]).isr().size());
        default -> System.out.println("{}");
      }
      System.out.flush();
    }
    System.exit(0);
  }
}
