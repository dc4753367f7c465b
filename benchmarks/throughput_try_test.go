package benchmarks
import ("testing";"time";"fmt";"os";"strings")
func TestTry(t *testing.T) {
	if os.Getenv("TRY")=="" { t.Skip() }
	if os.Getenv("BALLAST")!="" { keep = make([]byte, 64<<20) }
	for range 3 {
	for _, sys := range Systems() {
		if !strings.Contains("|"+os.Getenv("TRY")+"|", "|"+sys.Name+"|") { continue }
		fmt.Printf("%-26s", sys.Name)
		for _, s := range Scenarios {
			if w := os.Getenv("SCEN"); w != "" && w != s.Name { continue }
			r, err := Throughput(sys, s, 400*time.Millisecond)
			if err != nil { t.Fatal(err) }
			fmt.Printf(" %6.0f (%2.0f)", r.Nanoseconds, r.Allocs)
		}
		fmt.Println()
	}
	}
}
var keep []byte
