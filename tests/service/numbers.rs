//! `aggregate`: numbers about groups that are large enough, and of no others.

use strongroom_client::ErrorCode;

use crate::house::House;
use crate::raw::{Line, run_of};
use crate::workshop::{house, house_with, lines};

fn jobs(format: &str, city: &str, pay: &str, land: &str) -> String {
    format!(
        r#"
[[job]]
name = "pay"
operation = "aggregate"
input = {{ format = "{format}", key = "$customers", context = {{ purpose = "payroll" }} }}
aggregate = {{ group_by = ["{city}"], compute = {{ people = "count", total = {{ sum = "{pay}" }}, average = {{ mean = "{pay}" }}, top = {{ max = "{pay}" }}, least = {{ min = "{pay}" }} }}, where = [{{ field = "{land}", equals = "DE" }}, {{ field = "{pay}", at_least = "0" }}], min_group_size = 5 }}
output = {{ protect = "none" }}
"#
    )
}

const PAYROLL: [(&str, &str); 1] = [("purpose", "payroll")];

/// Six in Bonn, five in Köln, and one each in three towns.
fn people() -> Vec<(&'static str, String, &'static str)> {
    let of = |city, count: usize| (0..count).map(move |n| (city, format!("{}.50", n + 1), "DE"));
    let mut all: Vec<_> = of("Bonn", 6).chain(of("Köln, \"am Rhein\"", 5)).collect();
    all.extend(["canary-Aachen", "canary-Trier", "canary-Ulm"].map(|c| (c, "1000".into(), "DE")));
    // None of the conditions'.
    all.extend((0..9).map(|_| ("canary-Paris", "77777".to_owned(), "FR")));
    all.push(("Bonn", "-4".to_owned(), "DE"));
    all
}

async fn run(house: &House, text: &str) -> Result<String, ErrorCode> {
    let input = house.encrypt(&house.customers, &PAYROLL, text.as_bytes(), 64).await;
    let answer = Line::to(house).await.ask(&run_of("pay", &[]), &[&input]).await;
    if let Some(error) = &answer.error {
        assert!(answer.data.is_empty(), "numbers of what failed");
        return Err(error.code);
    }
    // How many there were in all would say how many are withheld.
    assert_eq!(answer.trailer.as_ref().unwrap().records, None);
    Ok(String::from_utf8(answer.whole()).unwrap())
}

fn csv(people: &[(&str, String, &str)]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["name", "city", "pay", "land"]).unwrap();
    for (city, pay, land) in people {
        writer.write_record(["canary-name", city, pay, land]).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

#[tokio::test]
async fn groups_of_a_csv_file_that_are_large_enough_are_shown_and_the_others_merged() {
    let house = house(&jobs("csv", "city", "pay", "land")).await;
    let all = people();
    let shown = "suppressed,city,average,least,people,top,total\n\
        false,Bonn,4,1.5,6,6.5,24\n\
        false,\"Köln, \"\"am Rhein\"\"\",3.5,1.5,5,5.5,17.5\n";
    // Three are too few even together; with two more they are enough to be told.
    assert_eq!(run(&house, &csv(&all)).await.unwrap(), format!("{shown}true,,,,,,\n"));
    let more = [&all[..], &[("x", "0".into(), "DE"), ("y", "0".into(), "DE")]].concat();
    assert_eq!(
        run(&house, &csv(&more)).await.unwrap(),
        format!("{shown}true,,600,0,5,1000,3000\n")
    );
    // One record fewer, and Köln is not told of either.
    let fewer = [&all[..6], &all[7..]].concat();
    let result = run(&house, &csv(&fewer)).await.unwrap();
    assert!(!result.contains("Köln"), "{result}");
}

#[tokio::test]
async fn groups_of_json_lines_are_told_as_json_lines() {
    let house = house(&jobs("ndjson", "/at/city", "/pay", "/land")).await;
    let all = people();
    let text = lines(all.len(), |n| {
        let (city, pay, land) = &all[n];
        let pay: serde_json::Number = pay.parse().unwrap();
        serde_json::json!({"at": {"city": city}, "pay": pay, "land": land}).to_string()
    });
    let result = run(&house, &text).await.unwrap();
    let rows: Vec<serde_json::Value> =
        result.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3, "{result}");
    assert_eq!((&rows[0]["/at/city"], &rows[0]["total"]), (&"Bonn".into(), &24.into()));
    assert_eq!((&rows[1]["people"], &rows[1]["average"]), (&5.into(), &3.5.into()));
    assert_eq!((&rows[2]["suppressed"], &rows[2]["people"]), (&true.into(), &().into()));
    assert!(!result.contains("canary"), "{result}");
}

#[tokio::test]
async fn a_bad_record_gives_no_numbers_at_all() {
    let house = house(&jobs("csv", "city", "pay", "land")).await;
    let good = csv(&people());
    for bad in ["x,Bonn,many,DE\n", "x,Bonn,many,FR\n", "x,Bonn\n", "x,Bonn,1e99,DE\n"] {
        assert_eq!(run(&house, &format!("{good}{bad}")).await, Err(ErrorCode::BadRecord), "{bad}");
    }
}

#[tokio::test]
async fn groups_in_the_clear_need_five_records_or_the_manifest_does_not_load() {
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1";
    let text = |jobs: &str| crate::house::manifest(key, key) + &jobs.replace("$customers", key);
    let good = jobs("csv", "city", "pay", "land");
    strongroom::manifest::Manifest::parse(&text(&good)).unwrap();
    for size in ["0", "1", "4"] {
        let bad = good.replace("min_group_size = 5", &format!("min_group_size = {size}"));
        strongroom::manifest::Manifest::parse(&text(&bad)).expect_err(size);
    }
    let none = good.replace(", min_group_size = 5", "");
    strongroom::manifest::Manifest::parse(&text(&none)).expect_err("no size");
}

#[tokio::test]
async fn an_aggregate_over_more_groups_than_the_memory_or_the_limit_holds_is_refused() {
    let jobs = jobs("csv", "city", "pay", "land");
    let many = |count| format!("city,pay,land\n{}", lines(count, |n| format!("town {n},1,DE")));
    let house_of = |limit: &'static str| {
        let change = move |text: String| {
            text.replace("\"1MiB\"", "\"1KiB\"")
                .replace("max_record", &format!("{limit}\nmax_record"))
        };
        house_with(&jobs, &[], change)
    };
    let small = house_of("max_in_flight_bytes = \"256KiB\"").await;
    run(&small, &many(50)).await.unwrap();
    assert_eq!(run(&small, &many(9000)).await, Err(ErrorCode::Busy));
    // What was held is given back.
    run(&small, &many(50)).await.unwrap();

    let few = house_of("max_groups = 100").await;
    run(&few, &many(100)).await.unwrap();
    assert_eq!(run(&few, &many(101)).await, Err(ErrorCode::BadRecord));
}
