#![allow(missing_docs)]
use strongroom_envelope::seal::*;
fn hex(b: &[u8]) -> String { b.iter().map(|x| format!("{x:02x}")).collect() }
#[test]
fn main() {
  let secret=RecipientSecretKey::from_bytes(&(0..32).collect::<Vec<u8>>()).unwrap();
  let id=[0x00,0x11,0x22,0x33,0x44,0x55,0x66,0x77,0x88,0x99,0xaa,0xbb,0xcc,0xdd,0xee,0xff];
  let args=std::collections::BTreeMap::from([("tenant".to_string(),"acme".to_string())]);
  let b=Binding{request_id:id,job:"mask",args:&args,nonce:Some(b"owner's nonce")};
  let s=Setup::new(secret.public_key(),&b).unwrap();
  println!("pk {}",hex(secret.public_key().as_bytes()));
  println!("ud {}",hex(&s.user_data()));
  let mut out=vec![]; let mut se=s.start(b"document",&mut out).unwrap();
  se.seal(b"pan\n1111\n",&mut out).unwrap(); se.finish(&mut out).unwrap();
  println!("st {}",hex(&out));
}
