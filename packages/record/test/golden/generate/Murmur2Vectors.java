// Writes the golden vectors of Kafka's partitioner: murmur2 of a key and its partition among 3, 6, 7 and 100. See README.md beside this file.
//   java -cp 'LIBS/*' Murmur2Vectors.java OUT_FILE

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.utils.Utils;

public class Murmur2Vectors {
  public static void main(String[] args) throws Exception {
    List<byte[]> keys = new ArrayList<>();
    for (String text : List.of("", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh", "21", "foobar", "key-0", "key-1", "user-42",
        "a-little-bit-long-string", "a-little-bit-longer-string", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "order-00000001", "order-00000002",
        "ß", "grüße", "ключ", "鍵", "🔑", "🌊🌊🌊", "naïve café", "x".repeat(255), "y".repeat(1024))) {
      keys.add(text.getBytes(StandardCharsets.UTF_8));
    }
    Random random = new Random(2);
    for (int length : new int[] {1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 64, 100}) {
      byte[] key = new byte[length];
      random.nextBytes(key);
      keys.add(key);
    }
    keys.add(new byte[] {0});
    keys.add(new byte[] {0, 0, 0, 0});
    keys.add(new byte[] {-1, -1, -1, -1, -1});
    keys.add(new byte[] {-128, 127, -128, 127});
    ObjectMapper json = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    ArrayNode vectors = json.createArrayNode();
    for (byte[] key : keys) {
      ObjectNode vector = vectors.addObject();
      int hash = Utils.murmur2(key);
      vector.put("keyHex", HexFormat.of().formatHex(key));
      vector.put("murmur2", hash);
      ObjectNode partitions = vector.putObject("partitions");
      for (int count : new int[] {3, 6, 7, 100}) partitions.put(Integer.toString(count), Utils.toPositive(hash) % count);
    }
    json.writeValue(Path.of(args[0]).toFile(), vectors);
    System.out.println(keys.size() + " keys");
  }
}
